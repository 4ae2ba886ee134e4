"""The operators' routes of every service are those of the table that tests walk, each with its action."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from backoffice.desk.roles import Action
from deploy.local import postgres, stack
from shared.idempotency import FingerprintKey
from shared.main import Service, applier
from shared.operators import api
from shared.tokens import KeySet
from tests.integration.operators import ROUTES, Route


def service(name: str) -> Service:
    found: Service = importlib.import_module(f"{postgres.package(name)}.main").SERVICE
    return found


def offered(name: str) -> Iterator[Route]:
    """What the code offers, as the table writes it."""
    made = service(name)
    app = api.create_app(
        name,
        pool=ConnectionPool("", open=False),
        desk_keys=KeySet(keys={}),
        fingerprints=FingerprintKey(b"f" * 32),
        applier=applier(name, ()) if made.subscriptions else None,
        operations=made.operations() if made.operations else None,
    )
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("api-docs"):
            (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            path = re.sub(r"<(int|uuid):\w+>", lambda found: "{id}" if found[1] == "int" else "{uuid}", rule.rule)
            view: Any = app.view_functions[rule.endpoint]
            yield method, path.removeprefix(f"{api.PREFIX}/"), view.action


@pytest.mark.parametrize("name", stack.OPERATED)
def test_the_table_names_every_route(name: str) -> None:
    assert sorted(offered(name)) == sorted(ROUTES[name])


def test_whoever_holds_events_is_operated_and_nobody_else() -> None:
    operated = {name for name in postgres.SERVICES if service(name).subscriptions or service(name).operations}
    assert operated == set(stack.OPERATED) == set(ROUTES)


def test_every_action_of_a_route_is_one_that_a_role_can_have() -> None:
    assert {action for routes in ROUTES.values() for _, _, action in routes} <= {str(action) for action in Action}

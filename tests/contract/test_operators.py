"""The operators' routes of every service are those of the table that tests walk; the desk's document says them all."""

import pytest

from backoffice.desk.roles import Action
from deploy.local import stack
from deploy.postgres.roles import SERVICES
from devtools.docs import desk_document
from devtools.docs.desk_document import operator_routes, service
from tests.support.operators import ROUTES


@pytest.mark.parametrize("name", stack.OPERATED)
def test_table_names_every_route(name: str) -> None:
    assert sorted(operator_routes(name)) == sorted(ROUTES[name])


def test_exactly_the_consumers_have_an_operator_api() -> None:
    operated = {name for name in SERVICES if service(name).subscriptions or service(name).operations}
    assert operated == set(stack.OPERATED) == set(ROUTES)


def test_every_action_of_a_route_belongs_to_a_role() -> None:
    assert {action for routes in ROUTES.values() for _, _, action in routes} <= {str(action) for action in Action}


def test_document_is_as_the_code_writes_it() -> None:
    assert desk_document.DESK.read_text("utf-8") == desk_document.text(), "make docs"

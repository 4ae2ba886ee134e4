"""The role table on the running system, every cell: pages through the gateway, and the services' own addresses."""

import html
import json
import re
import uuid
from datetime import UTC, datetime
from typing import Final

import pytest

from backoffice.desk import words
from backoffice.desk.roles import MAY, PAGES, Role
from backoffice.desk.staff import Fault
from deploy.gateway.rules import API_HOST, BACK_OFFICE_HOST, DESK_HOST, PORTAL_HOST, SIGN_IN_HOST
from deploy.local import stack
from devtools.scenario.target import Target
from shared.operators.staff import Staff, token
from shared.security.tokens import SigningKey
from tests.integration.backoffice.desk.table import ADDRESSES, MEMBERS
from tests.support.operators import ROUTES, Route, path_of
from tests.system.door import JSON, Door, Header, Reply

ALL: Final = [(service, route) for service, routes in ROUTES.items() for route in routes]
BODY: Final = json.dumps({"reason": "tried"}).encode()


def open_page(door: Door, system: Target, endpoint: str, member: str | None) -> tuple[int, str]:
    """Return status and heading of a page, for this certificate."""
    method, path = ADDRESSES[endpoint]
    origin = ("Origin", f"https://{DESK_HOST}:{system.installation.ports.gateway}")
    reply = door.ask(method, path, headers=[origin], host=DESK_HOST, person=member)
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", reply.body.decode(), re.DOTALL)
    return reply.status, html.unescape(heading[1]) if heading else ""


@pytest.mark.parametrize("role", list(Role))
def test_role_opens_its_pages_through_the_gateway_and_no_other(door: Door, system: Target, role: Role) -> None:
    for endpoint in ADDRESSES:
        status, heading = open_page(door, system, endpoint, MEMBERS[role])
        if PAGES[endpoint] in MAY[role]:
            assert status in (200, 404, 422), (endpoint, heading)
        else:
            assert (status, heading) == (403, words.NOT_ALLOWED[0]), endpoint


REFUSED: Final = {
    None: (401, Fault.NO_CERTIFICATE),
    "ng-pui-shan-no-role": (403, Fault.NO_ROLE),
    "fung-chi-ho-revoked": (403, Fault.REVOKED),
    "lau-wing-yan-expired": (403, Fault.EXPIRED),
}


@pytest.mark.parametrize("member", REFUSED)
def test_visitor_without_a_role_or_valid_certificate_is_refused_on_every_page(
    door: Door, system: Target, member: str | None
) -> None:
    status, fault = REFUSED[member]
    for endpoint in ADDRESSES:
        assert open_page(door, system, endpoint, member) == (status, words.REFUSALS[fault][0]), endpoint


def test_desk_socket_refuses_requests_without_the_gateways_header(door: Door) -> None:
    for method, path in ADDRESSES.values():
        assert door.straight("desk", method, path).status == 401


@pytest.fixture(scope="module")
def desk_key(system: Target) -> SigningKey:
    return SigningKey.load(system.installation.pki.signing / "desk.key")


def word(key: SigningKey, service: str, action: str) -> Header:
    """Return the desk's word for somebody who does this there."""
    staff = Staff(id="S1004", name="TSANG Man Kit", certificate_sha256="b2" * 32)
    made = token(staff, service=service, action=action, key=key, now=datetime.now(UTC))
    return "Authorization", f"Bearer {made}"


def ask(door: Door, service: str, route: Route, *headers: Header) -> Reply:
    given = [*headers, JSON, ("Idempotency-Key", uuid.uuid4().hex)]
    return door.operate(service, route[0], path_of(route), given, BODY if route[0] == "POST" else b"")


@pytest.mark.parametrize("service", ROUTES)
@pytest.mark.parametrize("role", list(Role))
def test_desk_tokens_of_a_role_open_exactly_its_routes(
    door: Door, desk_key: SigningKey, role: Role, service: str
) -> None:
    for route in ROUTES[service]:
        replies = {str(action): ask(door, service, route, word(desk_key, service, action)) for action in MAY[role]}
        opened = [action for action, reply in replies.items() if reply.status in (200, 404, 409, 422)]
        assert opened == [action for action in replies if action == route[2]], route
        refused = {reply.refusal for action, reply in replies.items() if action not in opened}
        assert refused <= {(403, "action-refused")}, route


@pytest.mark.parametrize(("service", "route"), ALL, ids=lambda each: each if isinstance(each, str) else each[1])
def test_service_refuses_tokens_of_other_signers(
    door: Door, system: Target, desk_key: SigningKey, service: str, route: Route
) -> None:
    other = next(each for each in stack.OPERATED if each != service)
    identity = SigningKey.load(system.installation.pki.signing / "identity.key")
    access = door.sign_in("chan-mei-ling").json["access_token"]
    certificate = ("X-Forwarded-Client-Cert", 'Cert="x"')
    assert ask(door, service, route).status == 401
    assert ask(door, service, route, certificate).status == 401
    for headers in ([word(identity, service, route[2])], [("Authorization", f"Bearer {access}")]):
        assert ask(door, service, route, *headers).refusal == (401, "token-refused")
    assert ask(door, service, route, word(desk_key, other, route[2])).refusal == (403, "action-refused")


@pytest.mark.parametrize("host", [API_HOST, SIGN_IN_HOST, PORTAL_HOST, BACK_OFFICE_HOST, DESK_HOST])
def test_operator_apis_are_not_reachable_through_the_gateway(door: Door, desk_key: SigningKey, host: str) -> None:
    member = MEMBERS[Role.SUPERVISOR] if host == DESK_HOST else None
    for path in ("/operator/v1/held-events", "/mailing/operator/v1/batches", "/mailing/v1/../../operator/v1/batches"):
        reply = door.ask("GET", path, headers=[word(desk_key, "mailing", "see-held")], host=host, person=member)
        assert reply.status == 404, (host, path)

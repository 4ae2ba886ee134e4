"""The role table, every cell: what each role may open and do, and that nothing is open that is not in the table."""

import uuid

import pytest

from backoffice.desk.operators import Refusal
from backoffice.desk.roles import MAY, PAGES, Action, Role
from backoffice.desk.staff import Member
from shared.operators import operator_api
from tests.integration.backoffice.desk.table import ADDRESSES, MEMBERS
from tests.integration.backoffice.desk.world import URL, World


def test_table_of_actions_lists_exactly_the_pages(world: World) -> None:
    endpoints = {rule.endpoint for rule in world.app.url_map.iter_rules()} - {"static"}
    assert endpoints == set(PAGES) == set(ADDRESSES)


def test_every_role_has_an_action_and_every_action_a_role() -> None:
    assert set(MAY) == set(Role) == set(MEMBERS)
    assert set().union(*MAY.values()) == set(Action)
    assert {*PAGES.values()} == set(Action)


def test_every_action_of_the_services_is_known_to_the_desk() -> None:
    assert {operator_api.SEE_HELD, operator_api.REDRIVE, operator_api.PROPOSE_SKIP, operator_api.DECIDE_SKIP} <= {
        str(action) for action in Action
    }


@pytest.mark.parametrize("endpoint", ADDRESSES)
@pytest.mark.parametrize("role", list(Role))
def test_role_opens_exactly_the_pages_of_the_table(world: World, role: Role, endpoint: str) -> None:
    method, path = ADDRESSES[endpoint]
    answer = world.client(MEMBERS[role]).open(path, method=method, headers={"Origin": URL})
    refused = answer.status_code == 403 and "Your role does not allow this" in answer.text
    assert refused == (PAGES[endpoint] not in MAY[role])
    assert refused or answer.status_code in (200, 404, 422, 503)  # 503: nobody answers for mailing here


@pytest.mark.parametrize("endpoint", ADDRESSES)
@pytest.mark.parametrize("member", [None, "ng-pui-shan-no-role", "fung-chi-ho-revoked", "lau-wing-yan-expired"])
def test_visitor_without_a_role_opens_no_page(world: World, member: str | None, endpoint: str) -> None:
    method, path = ADDRESSES[endpoint]
    answer = world.client(member).open(path, method=method, headers={"Origin": URL})
    assert answer.status_code == (401 if member is None else 403)


def test_two_roles_give_the_rights_of_both(world: World) -> None:
    with world.pool.connection() as conn:
        conn.execute("UPDATE staff SET roles = '{enquiries,auditor}' WHERE id = 'S1001'")
    client = world.client("lau-wing-yan")
    assert [client.get(path).status_code for path in ("/audit", "/held", "/envelopes/batches")] == [200, 200, 503]
    assert client.post("/held/desk/1/redrive", headers={"Origin": URL}).status_code == 403


@pytest.mark.parametrize(
    "origin", [None, "null", "https://portal.ecert.localhost:8443", f"{URL}.evil.example", "http" + URL[5:]]
)
@pytest.mark.parametrize("endpoint", [endpoint for endpoint, (method, _) in ADDRESSES.items() if method == "POST"])
def test_cross_site_form_with_a_certificate_is_refused(world: World, endpoint: str, origin: str | None) -> None:
    role = next(role for role in Role if PAGES[endpoint] in MAY[role])
    headers = {} if origin is None else {"Origin": origin}
    answer = world.client(MEMBERS[role]).post(ADDRESSES[endpoint][1], headers=headers, data={"reason": "x"})
    assert (answer.status_code, "Nothing was done" in answer.text) == (403, True)
    assert {row[0] for row in world.rows("SELECT action FROM audit_log")} == {"roles-assigned"}


@pytest.mark.parametrize(
    "path", ["/nothing", "/held/nobody", "/renewals/x", "/certificates/x", "/static/../app.py", "/held/desk?after=x"]
)
def test_unknown_page_is_not_found(world: World, path: str) -> None:
    assert world.client("tsang-man-kit").get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/held/desk/1/redrive", "/nothing"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_page_refuses_another_method(world: World, method: str, path: str) -> None:
    assert world.client("tsang-man-kit").open(path, method=method, headers={"Origin": URL}).status_code in (
        403,
        404,
        405,
    )


def test_desk_token_is_for_one_member_and_one_action(world: World) -> None:
    member = Member(id="S1", name="x", roles=frozenset(Role), certificate_sha256="x")
    operators = world.app.extensions["desk"].operators
    assert operators.get("desk", "held-events", Action.SEE_HELD, member)["events"] == []
    with pytest.raises(Refusal, match="action-refused"):
        operators.post("desk", "held-events/1/redrive", Action.SEE_HELD, member, key=uuid.uuid4().hex, reason="x")

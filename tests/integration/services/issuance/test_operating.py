"""Issuance's operator API: the PIN of a letter that is of no use is voided, and another made, once."""

import json
import uuid
from typing import Any

import pytest

from backoffice.desk.roles import Action
from services.issuance import operator_api
from tests.integration.services.issuance.test_reissue import NAME, announced_data, envelopes
from tests.integration.services.issuance.world import Renewal, World
from tests.support.operators import Desk
from tests.support.problems import problem


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk.of("issuance", operator_api.OPERATIONS, world.pool, world.now)


@pytest.fixture
def renewal(world: World) -> Renewal:
    return world.opened([NAME])


def letter(world: World) -> str:
    """Return the first envelope."""
    return envelopes(world)[0][0]


def reissue(desk: Desk, renewal: Renewal, of: str, *, key: str | None = None, **changes: Any) -> Any:
    body = {"server_name": NAME, "envelope_id": of, "what": "lost", "reason": "the post has no trace 查無記錄"}
    path = f"orders/{changes.pop('order', renewal.items[0].item_id)}/pins"
    return desk.ask("POST", path, operator_api.REISSUE_PIN, key=key, **(body | changes))


def test_pin_is_voided_and_replaced_with_an_audited_actor_and_reason(
    desk: Desk, world: World, renewal: Renewal
) -> None:
    old = letter(world)
    answer = reissue(desk, renewal, old)
    assert answer.status_code == 201
    new = answer.json["envelope_id"]
    assert envelopes(world) == [(old, "void"), (new, "planned")]
    assert [each["reason"] for each in announced_data(world, renewal, "pin-voided")] == ["lost"]
    assert [each["replaces"] for each in announced_data(world, renewal, "pin-reissued")] == [old]
    ((actor, details),) = world.rows("SELECT actor, details FROM audit_log WHERE action = 'pin-reissued'")
    assert actor == "staff S1002"
    assert details == {
        "server_name": NAME,
        "envelope_id": new,
        "replaces": old,
        "reason": "lost",
        "note": "the post has no trace 查無記錄",
    }


def test_repeated_request_makes_no_second_letter(desk: Desk, world: World, renewal: Renewal) -> None:
    old, key = letter(world), uuid.uuid4().hex
    answers = [reissue(desk, renewal, old, key=key).json for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(envelopes(world)) == 2


def test_two_requests_for_one_letter_make_one_new_letter(desk: Desk, world: World, renewal: Renewal) -> None:
    old = letter(world)
    reissue(desk, renewal, old)
    assert problem(reissue(desk, renewal, old, what="returned")) == (409, "other-envelope")
    assert len(envelopes(world)) == 2


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [
        ({"order": uuid.UUID(int=4)}, 404, "order-not-found"),
        ({"server_name": "mail.example.hk"}, 404, "order-not-found"),
        ({"server_name": "no name"}, 404, "order-not-found"),
        ({"what": "eaten by the dog"}, 422, "invalid-request"),
        ({"envelope_id": "x"}, 422, "invalid-request"),
        ({"reason": " "}, 422, "invalid-request"),
        ({"pin": "1234"}, 422, "invalid-request"),
    ],
    ids=str,
)
def test_request_with_wrong_facts_changes_nothing(
    desk: Desk, world: World, renewal: Renewal, changes: dict[str, Any], status: int, slug: str
) -> None:
    old = letter(world)
    assert problem(reissue(desk, renewal, old, **changes)) == (status, slug)
    assert envelopes(world) == [(old, "sealed")]


def test_reissue_after_the_csr_is_refused(desk: Desk, world: World, renewal: Renewal) -> None:
    old = letter(world)
    world.submit(renewal)
    assert problem(reissue(desk, renewal, old)) == (409, "not-in-this-state")
    assert len(envelopes(world)) == 1


@pytest.mark.parametrize("action", [each for each in Action if each != operator_api.REISSUE_PIN])
def test_desk_token_for_another_action_is_refused(desk: Desk, world: World, renewal: Renewal, action: Action) -> None:
    body = {"server_name": NAME, "envelope_id": letter(world), "what": "lost", "reason": "x"}
    answer = desk.ask("POST", f"orders/{renewal.items[0].item_id}/pins", action, **body)
    assert problem(answer) == (403, "action-refused")
    assert len(envelopes(world)) == 1


def test_operator_api_reveals_no_pin(desk: Desk, world: World, renewal: Renewal) -> None:
    pins = set(world.letters(renewal).values())
    answer = reissue(desk, renewal, letter(world))
    world.seal()
    pins |= set(world.letters(renewal).values())
    rows = world.rows("SELECT details FROM audit_log")
    assert not [pin for pin in pins if pin in answer.text + json.dumps(rows)]

"""Mailing's operator API: posting batches are seen, and letters that came back recorded, once and for good."""

import json
import uuid
from datetime import date, timedelta
from typing import Any

import pytest

from backoffice.desk.roles import Action
from services.mailing import operator_api, posting
from shared.events.mailing import PINEnvelopeReturned
from tests.integration.services.mailing.test_posting import TODAY, filled, post, rows_of
from tests.integration.services.mailing.world import START, Renewal, World
from tests.support.operators import Desk
from tests.support.problems import problem
from tests.unit.services.mailing.test_registered_numbers import numbered

NEVER_PRINTED = uuid.UUID("0197f5c2-0000-7000-8000-00000000000f")


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk.of("mailing", operator_api.OPERATIONS, world.pool, START + timedelta(minutes=5))


@pytest.fixture
def renewal(world: World) -> Renewal:
    """Two printed letters in one closed batch, the first of them in the post; a third letter in an open batch."""
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk"))
    world.print_all()
    world.pass_time(minutes=2)
    assert world.close()
    post(world, filled(rows_of(world), numbered(1)))
    world.apply(renewal.sealed("www.example.hk"))
    world.print_all()
    return renewal


def path(renewal: Renewal, name: str = "a.example.hk") -> str:
    return f"envelopes/{renewal.letter(name).envelope_id}/return"


def mark(desk: Desk, path: str, **changes: Any) -> Any:
    body = {"on": TODAY.isoformat(), "reason": "unclaimed 無人領取"} | changes
    return desk.ask("POST", path, operator_api.MARK_RETURNED, **body)


def audited(world: World) -> list[tuple[Any, ...]]:
    return world.rows("SELECT actor, subject, details FROM audit_log WHERE action = 'envelope-returned'")


def test_batches_are_listed_with_the_number_of_letters_in_each_state(desk: Desk, renewal: Renewal) -> None:
    mark(desk, path(renewal))
    newest, older = desk.ask("GET", "batches", operator_api.SEE_BATCHES).json  # type: ignore[misc]
    counts = ("printed", "posted", "returned", "dropped")
    assert (newest["name"], newest["state"], newest["closed_at"]) == ("batch-000002", "open", None)
    assert [newest[each] for each in counts] == [1, 0, 0, 0]
    assert (older["name"], older["state"]) == ("batch-000001", "closed")
    assert [older[each] for each in counts] == [1, 0, 1, 0]


def test_returned_letter_is_announced_and_audited_with_actor_and_reason(
    desk: Desk, world: World, renewal: Renewal
) -> None:
    assert mark(desk, path(renewal)).json == {"recorded": True}
    letter = renewal.letter("a.example.hk")
    told = [event for event in world.announced(renewal.id) if isinstance(event, PINEnvelopeReturned)]
    assert [(each.envelope_id, each.reason, each.returned_on) for each in told] == [
        (letter.envelope_id, "unclaimed 無人領取", TODAY)
    ]
    details = {"envelope_id": str(letter.envelope_id), "reason": "unclaimed 無人領取"}
    assert audited(world) == [("staff S1002", str(renewal.id), details)]


def test_repeated_return_is_recorded_once(desk: Desk, world: World, renewal: Renewal) -> None:
    key = uuid.uuid4().hex
    answers = [mark(desk, path(renewal), key=each).json for each in (key, key, uuid.uuid4().hex)]
    assert answers == [{"recorded": True}, {"recorded": True}, {"recorded": False}]
    assert len(audited(world)) == 1


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("b.example.hk", TODAY),  # in a closed batch, without a registered number
        ("www.example.hk", TODAY),  # its batch is open
        ("a.example.hk", TODAY - timedelta(days=1)),  # before it was posted
        ("a.example.hk", TODAY + timedelta(days=1)),  # has not come yet
    ],
)
def test_return_of_an_unposted_letter_is_refused(
    desk: Desk, world: World, renewal: Renewal, name: str, day: date
) -> None:
    answer = mark(desk, path(renewal, name), on=day.isoformat())
    assert problem(answer) == (409, "posting-refused")
    assert audited(world) == []


def test_letter_that_was_never_printed_is_refused(desk: Desk, renewal: Renewal) -> None:
    assert problem(mark(desk, f"envelopes/{NEVER_PRINTED}/return")) == (409, "posting-refused")


@pytest.mark.parametrize(
    "bad",
    [{"on": None}, {"on": "23.11.2026"}, {"on": "2026-02-30"}, {"reason": " "}, {"reason": "x" * 501}, {"more": 1}],
    ids=str,
)
def test_invalid_request_of_the_desk_changes_nothing(
    desk: Desk, world: World, renewal: Renewal, bad: dict[str, Any]
) -> None:
    assert problem(mark(desk, path(renewal), **bad)) == (422, "invalid-request")
    assert audited(world) == []


@pytest.mark.parametrize("action", list(Action))
def test_desk_token_is_for_its_own_action_only(desk: Desk, action: Action) -> None:
    body = {"on": TODAY.isoformat(), "reason": "unclaimed"}
    answers = {
        operator_api.SEE_BATCHES: desk.ask("GET", "batches", action),
        operator_api.MARK_RETURNED: desk.ask("POST", f"envelopes/{NEVER_PRINTED}/return", action, **body),
    }
    for needed, answer in answers.items():
        if action == needed:
            assert answer.status_code in (200, 409)
        else:
            assert problem(answer) == (403, "action-refused")


def test_return_recorded_by_the_command_line_is_recognised(desk: Desk, world: World, renewal: Renewal) -> None:
    with world.begin() as tx:
        posting.record_returned(tx, renewal.letter("a.example.hk").envelope_id, "moved", TODAY, actor="mail room")
    assert mark(desk, path(renewal)).json == {"recorded": False}
    assert json.dumps(audited(world)[0][2]["reason"]) == '"moved"'

"""Held events at the desk: seen, redriven, skipped with four-eyes approval, each with a reason that is kept."""

import re
import socket
from dataclasses import replace
from typing import Any

import pytest

from deploy.gateway.rules import REQUEST_SECONDS
from deploy.local import stack
from shared.security.tokens import KeySet
from shared.tx import transaction
from tests.integration.backoffice.desk.world import Renewal, World, falling_silent
from tests.support.builders import NOW, key_set, signing_key

OPERATOR, SUPERVISOR, AUDITOR = "yip-hoi-ching", "tsang-man-kit", "mok-sze-wan"


@pytest.fixture
def forged(world: World) -> Renewal:
    """A renewal whose certificate a stranger signed the event of; its acceptance waits behind that."""
    renewal = Renewal()
    world.apply(*renewal.asked(), renewal.csr())
    world.apply_records(
        world.publisher.record(renewal.issued(), sign="stranger"), world.publisher.record(renewal.csr(1))
    )
    return renewal


def held_id(world: World) -> int:
    found = world.rows("SELECT min(id) FROM parked_events")
    return int(found[0][0])


def audited(world: World) -> list[tuple[Any, ...]]:
    """Return what was done since the roles were assigned."""
    return world.rows(
        "SELECT actor, action, details->>'reason' FROM audit_log WHERE action <> 'roles-assigned' ORDER BY id"
    )


def test_event_with_a_foreign_signature_is_held_and_changes_nothing(world: World, forged: Renewal) -> None:
    assert world.rows("SELECT reason FROM parked_events ORDER BY sequence") == [("signature-wrong",), ("gap",)]
    assert world.rows("SELECT serial FROM items WHERE serial IS NOT NULL") == []
    page = world.client(AUDITOR).get("/held").text
    assert "desk" in page
    listing = world.client(AUDITOR).get("/held/desk").text
    assert "Certificate issued" in listing
    assert "Has no valid signature (signature-wrong)" in listing


def test_timeline_says_what_is_missing(world: World, forged: Renewal) -> None:
    page = world.client(AUDITOR).get(f"/renewals/{forged.id}").text
    assert "Not complete" in page
    assert "signature-wrong" in page


def test_held_event_is_shown_with_its_data_redacted(world: World, forged: Renewal) -> None:
    page = world.client(OPERATOR).get(f"/held/desk/{held_id(world)}").text
    assert forged.items[0].srn in page
    assert "BEGIN CERTIFICATE" not in page
    assert "hidden" in page


def test_failed_redrive_is_reported(world: World, forged: Renewal) -> None:
    answer = world.post(OPERATOR, f"/held/desk/{held_id(world)}/redrive", reason="the key was published late")
    assert answer.status_code == 303
    assert "what is still held" in world.client(OPERATOR).get(answer.location).text
    assert len(world.held()) == 2


def test_redrive_succeeds_once_the_cause_is_removed(world: World, forged: Renewal) -> None:
    """The desk learned of the signer's key too late: the same event is good now."""
    world.publication.keys = KeySet(keys={**key_set("feed").keys, **key_set("stranger").keys})
    answer = world.post(OPERATOR, f"/held/desk/{held_id(world)}/redrive", reason="the key is published")
    assert "nothing of this renewal is held" in world.client(OPERATOR).get(answer.location).text
    assert world.held() == []
    assert audited(world) == [
        ("S1003", "redrive-asked", "the key is published"),
        ("staff S1003", "events-redriven", "the key is published"),
        ("S1003", "redrive-done", None),
    ]


def proposal(world: World) -> str:
    found = world.rows("SELECT id FROM proposals WHERE decision IS NULL")
    return str(found[0][0])


def test_skip_is_done_by_four_eyes_approval(world: World, forged: Renewal) -> None:
    event = held_id(world)
    answer = world.post(OPERATOR, f"/held/desk/{event}/skip", reason="forged by a stranger")
    assert "awaits the approval of another person" in world.client(OPERATOR).get(answer.location).text
    assert "your own proposal" in world.client(OPERATOR).get(f"/held/desk/{event}").text
    assert "forged by a stranger" in world.client(SUPERVISOR).get(f"/held/desk/{event}").text
    decided = f"skip-proposals/{proposal(world)}/confirmation"
    answer = world.post(SUPERVISOR, f"/held/desk/{event}/proposals/{proposal(world)}/confirmation", reason="I saw it")
    assert "nothing of this renewal is held" in world.client(SUPERVISOR).get(answer.location).text
    assert world.held() == []
    assert world.rows("SELECT csr_received_at IS NOT NULL FROM items ORDER BY reference") == [(True,), (True,)]
    told = world.rows("SELECT details->>'path' FROM audit_log WHERE action = 'decide-skip-asked'")
    assert [path for (path,) in told] == [decided]
    assert audited(world) == [
        ("S1003", "propose-skip-asked", "forged by a stranger"),
        ("staff S1003", "skip-proposed", "forged by a stranger"),
        ("S1003", "propose-skip-done", None),
        ("S1004", "decide-skip-asked", "I saw it"),
        ("staff S1004", "skip-approved", "I saw it"),
        ("staff S1004", "event-skipped", "forged by a stranger (proposed by staff S1003)"),
        ("S1004", "decide-skip-done", None),
    ]
    page = world.client(AUDITOR).get(f"/renewals/{forged.id}").text
    assert "was skipped" in page


def test_own_proposal_cannot_be_approved(world: World, forged: Renewal) -> None:
    event = held_id(world)
    world.post(SUPERVISOR, f"/held/desk/{event}/skip", reason="forged")
    page = world.client(SUPERVISOR).get(f"/held/desk/{event}").text
    assert "Approve: skip it" not in page
    answer = world.post(SUPERVISOR, f"/held/desk/{event}/proposals/{proposal(world)}/confirmation", reason="me, too")
    assert (answer.status_code, "another person must approve" in answer.text) == (422, True)
    assert len(world.held()) == 2


def test_proposal_cannot_be_decided_at_another_events_address(world: World, forged: Renewal) -> None:
    """The desk's record would say that it was about that one's renewal."""
    event = held_id(world)
    world.post(OPERATOR, f"/held/desk/{event}/skip", reason="forged")
    ((other,),) = world.rows("SELECT id FROM parked_events WHERE id <> %s", event)
    for decision in ("confirmation", "rejection"):
        path = f"/held/desk/{other}/proposals/{proposal(world)}/{decision}"
        answer = world.post(SUPERVISOR, path, reason="I saw it")
        assert (answer.status_code, "has no open proposal" in answer.text) == (422, True)
    assert len(world.held()) == 2
    assert world.rows("SELECT 1 FROM audit_log WHERE action LIKE 'decide-skip%%'") == []


def test_proposal_is_rejected(world: World, forged: Renewal) -> None:
    event = held_id(world)
    world.post(OPERATOR, f"/held/desk/{event}/skip", reason="forged")
    answer = world.post(SUPERVISOR, f"/held/desk/{event}/proposals/{proposal(world)}/rejection", reason="ask first")
    assert "was rejected" in world.client(SUPERVISOR).get(answer.location).text
    assert len(world.held()) == 2
    assert "Propose to skip it" in world.client(OPERATOR).get(f"/held/desk/{event}").text


@pytest.mark.parametrize("action", ["redrive", "skip"])
def test_action_without_a_reason_is_refused(world: World, forged: Renewal, action: str) -> None:
    answer = world.post(OPERATOR, f"/held/desk/{held_id(world)}/{action}", reason="  ")
    assert answer.status_code == 422
    assert re.search(r'<a href="#(redrive|skip)-reason">Say why', answer.text)
    assert audited(world) == []


def test_event_no_longer_held_is_not_found(world: World, forged: Renewal) -> None:
    assert world.client(OPERATOR).get("/held/desk/999999").status_code == 404
    assert world.post(OPERATOR, "/held/desk/999999/redrive", reason="x").status_code == 404


def test_unavailable_service_is_shown_as_unavailable(world: World) -> None:
    page = world.client(OPERATOR).get("/held")
    assert (page.status_code, "Does not answer" in page.text) == (200, True)
    assert world.client(OPERATOR).get("/held/mailing").status_code == 503


def test_hanging_services_do_not_hide_held_events_of_the_others(world: World, forged: Renewal) -> None:
    """Nor does one that does not accept the desk's token."""
    deps = world.app.extensions["desk"]
    assert len(stack.CONSUMING) * deps.operators.look_seconds < REQUEST_SECONDS
    world.app.extensions["desk"] = replace(deps, operators=replace(deps.operators, look_seconds=0.2))
    with socket.socket(socket.AF_UNIX) as mailing, socket.socket(socket.AF_UNIX) as issuance:
        for each, name in ((mailing, "mailing"), (issuance, "issuance")):
            each.bind(str(world.sockets / f"{name}.sock"))
            each.listen()
        page = world.client(OPERATOR).get("/held").text
    assert page.count("Does not answer") == 2
    assert "held by desk" in page
    stranger = replace(deps.operators, key=signing_key("stranger"))
    world.app.extensions["desk"] = replace(deps, operators=stranger)
    answer = world.client(OPERATOR).get("/held")
    assert (answer.status_code, answer.text.count("Does not answer")) == (200, 3)


def test_request_to_a_service_that_stops_answering_is_audited(world: World, forged: Renewal) -> None:
    """The service answers readers, and dies when an action is requested."""
    with falling_silent(world.sockets / "mailing.sock"):
        answer = world.post(OPERATOR, "/held/mailing/1/redrive", reason="once more")
    assert (answer.status_code, "look first" in answer.text) == (503, True)
    assert audited(world) == [("S1003", "redrive-asked", "once more"), ("S1003", "redrive-unanswered", None)]


def test_text_from_outside_is_escaped(world: World) -> None:
    renewal = Renewal()
    with transaction(world.pool, clock=lambda: NOW) as tx:
        tx.conn.execute(
            """INSERT INTO parked_events (consumer, topic, key, sequence, "partition", "offset", headers, value, reason,
                                          error, code_version, parked_at)
               VALUES ('desk', 'payment.events', %s, 2, 0, 1, '[["ce_type", "<script>alert(1)</script>"]]', %s,
                       'failed', '<img src=x onerror=alert(2)>', 'x', %s)""",
            (f"<b>{renewal.id}</b>", b'"<script>alert(3)</script>"', NOW),
        )
    for path in ("/held/desk", f"/held/desk/{held_id(world)}"):
        page = world.client(OPERATOR).get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>" not in page

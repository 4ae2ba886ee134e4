"""The operators' API on a real database: what the desk's token permits, and that a skip needs four-eyes approval."""

import base64
import tracemalloc
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import flask
import psycopg
import pytest
import structlog
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db import Pool
from shared.events.base import Topic
from shared.messaging.applier import Applier
from shared.messaging.held_events import HeldEvent
from shared.operators import operator_api, redaction
from shared.operators.staff import Staff, token
from shared.security.tokens import TokenKind, sign
from shared.web.idempotency import FingerprintKey
from tests.integration.shared.conftest import NOW, TOPIC, Deliver, Handler, Writer
from tests.integration.shared.messaging.test_inbox import held_event, place
from tests.support.builders import AR, key_set, signing_key
from tests.support.problems import problem

YIP = Staff(id="S1003", name="YIP Hoi Ching 葉海晴", certificate_sha256="a1" * 32)
TSANG = Staff(id="S1004", name="TSANG Man Kit 曾文傑", certificate_sha256="b2" * 32)
ACTIONS = (operator_api.SEE_HELD, operator_api.REDRIVE, operator_api.PROPOSE_SKIP, operator_api.DECIDE_SKIP)
Applied = Callable[[Writer], list[str]]


@pytest.fixture
def app(pool: Pool, apply: Applier) -> flask.Flask:
    return operator_api.create_app(
        "application",
        pool=pool,
        desk_keys=key_set("desk"),
        fingerprints=FingerprintKey(b"f" * 32),
        applier=apply,
        clock=lambda: NOW,
    )


def word(action: str, staff: Staff = YIP, *, service: str = "application", **changes: Any) -> dict[str, str]:
    """Return the desk's word, and a key for a command."""
    made = token(staff, service=service, action=action, key=signing_key("desk"), now=changes.get("now", NOW))
    return {"Authorization": f"Bearer {made}", "Idempotency-Key": changes.get("key") or uuid.uuid4().hex}


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()


def held_of(client: FlaskClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/operator/v1/held-events", headers=word(operator_api.SEE_HELD)).json[
        "events"
    ]  # type: ignore[index]
    return found


def post(
    client: FlaskClient, path: str, action: str, staff: Staff = YIP, reason: str = "tried", **more: Any
) -> TestResponse:
    return client.post(f"/operator/v1/{path}", headers=word(action, staff, **more), json={"reason": reason})


@pytest.fixture
def stuck(deliver: Deliver, handler: Handler, writer: Writer) -> Writer:
    """A key whose second event fails; the third waits behind it."""
    handler.failures["2"] = RuntimeError("a fault")
    deliver(writer.record(1), writer.record(2), writer.record(3))
    return writer


def test_held_event_is_listed_with_its_reason(client: FlaskClient, stuck: Writer) -> None:
    first, second = held_of(client)
    assert (first["topic"], first["key"], first["sequence"]) == (TOPIC, stuck.key, 2)
    assert (first["reason"], first["error"], first["proposal"]) == ("failed", "RuntimeError: a fault", None)
    assert (second["sequence"], second["reason"]) == (3, "gap")


def test_long_list_is_read_page_by_page(client: FlaskClient, deliver: Deliver, handler: Handler) -> None:
    writers = [Writer() for _ in range(5)]
    deliver(*(writer.record(number) for writer in writers for number in (2, 3)))
    seen: list[tuple[str, int]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        answer = client.get("/operator/v1/held-events", query_string=query, headers=word(operator_api.SEE_HELD)).json
        assert answer is not None
        seen += [(event["key"], event["sequence"]) for event in answer["events"]]
        if answer["next"] is None:
            break
        query["after"] = answer["next"]
    assert seen == sorted((writer.key, number) for writer in writers for number in (2, 3))


def test_list_of_large_events_uses_little_memory(client: FlaskClient, stuck: Writer, pool: Pool) -> None:
    with pool.connection() as conn:
        conn.execute(
            """INSERT INTO parked_events (consumer, topic, key, sequence, "partition", "offset", headers, value, reason,
                                          error, code_version, parked_at)
               SELECT consumer, topic, key || n, sequence, "partition", 1000 + n, headers,
                      convert_to(repeat('x', 1000000), 'UTF8'), reason, error, code_version, parked_at
               FROM parked_events, generate_series(1, 40) AS n WHERE sequence = 2"""
        )
    tracemalloc.start()
    try:
        answer = client.get("/operator/v1/held-events?limit=200", headers=word(operator_api.SEE_HELD)).json
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer is not None
    assert len(answer["events"]) == 42
    assert peak < 10_000_000


# Beyond every number; text that no database takes; deeper than can be read.
NOWHERE = [
    base64.urlsafe_b64encode(each).decode() for each in (b'["", "", 1e999, 0]', b'["\\ud800", "", 0, 0]', b"[" * 1500)
]


@pytest.mark.parametrize(
    "after", ["x", "bm9uZQ==", "WzFd", "WyIiLCAiIiwgLTEsIDBd", "WyJcdTAwMDAiLCAiIiwgMCwgMF0=", *NOWHERE]
)
def test_unknown_cursor_is_400(client: FlaskClient, after: str) -> None:
    answer = client.get("/operator/v1/held-events", query_string={"after": after}, headers=word(operator_api.SEE_HELD))
    assert problem(answer) == (400, "cursor-unknown")


def test_held_event_is_shown_with_its_headers_and_data(client: FlaskClient, stuck: Writer) -> None:
    answer = client.get(
        f"/operator/v1/held-events/{held_of(client)[0]['id']}", headers=word(operator_api.SEE_HELD)
    ).json
    assert answer is not None
    assert answer["headers"]["ce_sequence"] == "2"
    assert answer["data"]["reason"] == "2"


def test_redrive_applies_events_until_one_fails(
    client: FlaskClient, stuck: Writer, handler: Handler, applied: Applied, pool: Pool
) -> None:
    path = f"held-events/{held_of(client)[0]['id']}/redrive"
    assert post(client, path, operator_api.REDRIVE).json == {"last_sequence": 1, "held": 2}
    handler.failures.clear()
    assert post(client, path, operator_api.REDRIVE, reason="mended").json == {"last_sequence": 3, "held": 0}
    assert applied(stuck) == ["1", "2", "3"]
    assert audited(pool, "events-redriven") == [("staff S1003", "tried"), ("staff S1003", "mended")]


def test_applied_events_are_logged_after_the_commit(
    app: flask.Flask, client: FlaskClient, stuck: Writer, handler: Handler, apply: Applier
) -> None:
    path = f"held-events/{held_of(client)[0]['id']}/redrive"
    apply.tell()
    with structlog.testing.capture_logs() as logs:
        post(client, path, operator_api.REDRIVE)
        handler.failures.clear()
        post(client, path, operator_api.REDRIVE)
        post(client, path, operator_api.REDRIVE)
    told = [each["sequence"] for each in logs if each["event"] == "event.applied"]
    apply.tell()
    assert told == [2, 3]


def audited(pool: Pool, action: str) -> list[tuple[str, str]]:
    with pool.connection() as conn:
        return conn.execute(
            "SELECT actor, details->>'reason' FROM audit_log WHERE action = %s ORDER BY id", (action,)
        ).fetchall()


def test_repeated_redrive_applies_nothing_twice(client: FlaskClient, stuck: Writer, pool: Pool) -> None:
    path, key = f"held-events/{held_of(client)[0]['id']}/redrive", uuid.uuid4().hex
    answers = [post(client, path, operator_api.REDRIVE, key=key) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert len(audited(pool, "events-redriven")) == 1


def proposed(client: FlaskClient, staff: Staff = YIP) -> tuple[int, str]:
    """Return the event that is stuck, and a proposal to skip it."""
    parked_id = held_of(client)[0]["id"]
    answer = post(client, f"held-events/{parked_id}/skip-proposals", operator_api.PROPOSE_SKIP, staff, "it is forged")
    assert answer.status_code == 201
    return parked_id, answer.json["id"]  # type: ignore[index]


def test_skip_needs_four_eyes_approval_and_both_are_audited(
    client: FlaskClient, stuck: Writer, applied: Applied, pool: Pool
) -> None:
    _, proposal = proposed(client)
    assert held_of(client)[0]["proposal"]["proposed_by"] == "staff S1003"
    answer = post(client, f"skip-proposals/{proposal}/confirmation", operator_api.DECIDE_SKIP, TSANG, "seen it, too")
    assert answer.json == {"last_sequence": 3, "held": 0}
    assert applied(stuck) == ["1", "3"]
    assert audited(pool, "skip-proposed") == [("staff S1003", "it is forged")]
    assert audited(pool, "skip-approved") == [("staff S1004", "seen it, too")]
    assert audited(pool, "event-skipped") == [("staff S1004", "it is forged (proposed by staff S1003)")]


def test_own_proposal_cannot_be_approved(client: FlaskClient, stuck: Writer, pool: Pool) -> None:
    _, proposal = proposed(client)
    renewed = replace(YIP, certificate_sha256="c3" * 32)  # the same person with a new certificate
    for staff in (YIP, renewed):
        answer = post(client, f"skip-proposals/{proposal}/confirmation", operator_api.DECIDE_SKIP, staff)
        assert problem(answer) == (403, "second-person-needed")
    assert held_event(pool, stuck) == [2, 3]
    with pool.connection() as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            "UPDATE proposals SET decision = 'approved', decided_by = proposed_by, decided_at = now(), "
            "decision_reason = 'by hand'"
        )


def test_rejected_proposal_leaves_the_event_held(client: FlaskClient, stuck: Writer, pool: Pool) -> None:
    _, proposal = proposed(client)
    assert post(client, f"skip-proposals/{proposal}/rejection", operator_api.DECIDE_SKIP, TSANG).status_code == 204
    assert held_event(pool, stuck) == [2, 3]
    answer = post(client, f"skip-proposals/{proposal}/confirmation", operator_api.DECIDE_SKIP, TSANG)
    assert problem(answer) == (404, "no-such-proposal")
    assert proposed(client)[1] != proposal


def test_event_is_proposed_once_at_a_time(client: FlaskClient, stuck: Writer) -> None:
    parked_id, _ = proposed(client)
    answer = post(client, f"held-events/{parked_id}/skip-proposals", operator_api.PROPOSE_SKIP, TSANG)
    assert problem(answer) == (409, "already-proposed")


def test_approval_for_an_event_no_longer_held_skips_nothing(
    client: FlaskClient, stuck: Writer, handler: Handler, applied: Applied
) -> None:
    parked_id, proposal = proposed(client)
    handler.failures.clear()
    post(client, f"held-events/{parked_id}/redrive", operator_api.REDRIVE)
    answer = post(client, f"skip-proposals/{proposal}/confirmation", operator_api.DECIDE_SKIP, TSANG)
    assert problem(answer) == (404, "not-parked")
    assert applied(stuck) == ["1", "2", "3"]


def test_skip_of_event_out_of_turn_is_refused(client: FlaskClient, stuck: Writer) -> None:
    waiting = held_of(client)[1]["id"]
    answer = post(client, f"held-events/{waiting}/skip-proposals", operator_api.PROPOSE_SKIP)
    proposal = answer.json["id"]  # type: ignore[index]
    answer = post(client, f"skip-proposals/{proposal}/confirmation", operator_api.DECIDE_SKIP, TSANG)
    assert problem(answer) == (409, "not-next")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_action_without_a_reason_is_refused(client: FlaskClient, stuck: Writer, reason: str) -> None:
    answer = post(client, f"held-events/{held_of(client)[0]['id']}/redrive", operator_api.REDRIVE, reason=reason)
    assert problem(answer) == (422, "invalid-request")


ROUTES = [
    ("GET", "held-events", operator_api.SEE_HELD),
    ("GET", "held-events/{id}", operator_api.SEE_HELD),
    ("POST", "held-events/{id}/redrive", operator_api.REDRIVE),
    ("POST", "held-events/{id}/skip-proposals", operator_api.PROPOSE_SKIP),
    ("POST", "skip-proposals/{proposal}/confirmation", operator_api.DECIDE_SKIP),
    ("POST", "skip-proposals/{proposal}/rejection", operator_api.DECIDE_SKIP),
]


def test_every_route_is_in_the_table_with_its_action(app: flask.Flask) -> None:
    views: dict[str, Any] = {
        rule.endpoint: app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("api-docs")
    }
    assert sorted(view.action for view in views.values()) == sorted(action for _, _, action in ROUTES)


def ask(client: FlaskClient, route: tuple[str, str, str], headers: dict[str, str]) -> TestResponse:
    method, path, _ = route
    path = path.format(id=12345, proposal=uuid.uuid4())
    return client.open(
        f"/operator/v1/{path}", method=method, headers=headers, json={"reason": "tried"} if method == "POST" else None
    )


@pytest.mark.parametrize("action", [*ACTIONS, "look-up", "*", ""])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_desk_token_is_for_one_action_only(client: FlaskClient, route: tuple[str, str, str], action: str) -> None:
    answer = ask(client, route, word(action))
    if action == route[2]:
        assert answer.status_code in (200, 404)
    else:
        assert problem(answer) == (403, "action-refused")


def forged(action: str) -> str:
    return token(YIP, service="application", action=action, key=signing_key("stranger"), now=NOW)


def outdated(action: str) -> str:
    made = NOW - timedelta(minutes=1)
    return token(YIP, service="application", action=action, key=signing_key("desk"), now=made)


def of_tomorrow(action: str) -> str:
    made = NOW + timedelta(days=1)
    return token(YIP, service="application", action=action, key=signing_key("desk"), now=made)


def of_an_ar(action: str) -> str:
    return AR().access_token(NOW)


def of_identity(action: str) -> str:
    claims = {"sub": "S1004", "name": "x", "certificate_sha256": "x", "service": "application", "action": action}
    return sign(claims, kind=TokenKind.STAFF, key=signing_key("desk"), now=NOW, issuer="identity")


def without_a_name(action: str) -> str:
    claims = {"sub": "S1004", "service": "application", "action": action}
    return sign(claims, kind=TokenKind.STAFF, key=signing_key("desk"), now=NOW, issuer="desk")


@pytest.mark.parametrize("make", [forged, outdated, of_tomorrow, of_an_ar, of_identity, without_a_name])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_token_of_another_signer_is_refused(
    client: FlaskClient, route: tuple[str, str, str], make: Callable[[str], str]
) -> None:
    answer = ask(client, route, {"Authorization": f"Bearer {make(route[2])}", "Idempotency-Key": uuid.uuid4().hex})
    assert problem(answer) == (401, "token-refused")


@pytest.mark.parametrize("given", [None, "", "Bearer", "Basic UzEwMDQ6eA==", "Bearer x"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_missing_desk_token_is_refused(client: FlaskClient, route: tuple[str, str, str], given: str | None) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex} | ({} if given is None else {"Authorization": given})
    assert ask(client, route, headers).status_code == 401


def test_desk_token_for_another_service_is_refused(client: FlaskClient) -> None:
    answer = client.get("/operator/v1/held-events", headers=word(operator_api.SEE_HELD, service="mailing"))
    assert problem(answer) == (403, "action-refused")


def of_value(writer: Writer, value: bytes, topic: str = TOPIC) -> HeldEvent:
    record = replace(writer.record(1), value=value, topic=topic)
    where = replace(place(writer), topic=topic)
    return HeldEvent(id=1, place=where, sequence=1, reason="", error="", parked_at=NOW, record=record)


def test_proofs_names_and_long_values_are_redacted(writer: Writer) -> None:
    value = (
        b'{"payer_name": "\xe9\x99\xb3", "attestation": "eyJ", "items": [{"note": "' + b"x" * 201 + b'", "srn": "1"}]}'
    )
    shown = redaction.data(of_value(writer, value))
    assert shown["payer_name"]["hidden"] == "3 bytes"
    assert shown["attestation"]["hidden"] == "3 bytes"
    assert (shown["items"][0]["note"]["hidden"], shown["items"][0]["srn"]) == ("201 bytes", "1")


def test_redaction_covers_every_shape_of_data(writer: Writer) -> None:
    value = b'{"document": {"payer": "CHAN"}, "payer_name": ["CHAN"], "sealed": 7, "receipt": null}'
    assert "CHAN" not in str(redaction.data(of_value(writer, value)))
    assert redaction.data(of_value(writer, value))["receipt"] is None


@pytest.mark.parametrize(
    ("topic", "value", "shown"),
    [
        (Topic.PAYMENT, b"\xff\x00no json", {"hidden": "9 bytes", "begins": "\\xff\x00no json"}),
        (Topic.PIN_ENVELOPES, b"no json", {"hidden": "7 bytes"}),
        (Topic.PIN_ENVELOPES, b'{"sealed": "MIIB"}', {"sealed": {"hidden": "4 bytes"}}),
    ],
)
def test_sealed_pins_are_redacted_completely(writer: Writer, topic: str, value: bytes, shown: dict[str, Any]) -> None:
    def without_hashes(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: without_hashes(inner) for name, inner in found.items() if name != "sha256"}
        return found

    assert without_hashes(redaction.data(of_value(writer, value, topic))) == shown

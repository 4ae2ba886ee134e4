"""The sandbox provider keeps a payment company's promises, and breaks them on demand."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.local.waiting import wait_until
from tests.integration.services.payment.sandbox_process import (
    API_KEY,
    AUTHORISED,
    NEW_SECRET,
    OLD_SECRET,
    Merchant,
    Sandbox,
    running_merchant,
    running_sandbox,
)

Json = dict[str, Any]


def wanted(**changes: object) -> Json:
    return {
        "reference": str(uuid.uuid4()),
        "amount_minor": 250_000,
        "currency": "HKD",
        "description": "e-Cert (Server) renewal R-0001",
        "return_url": "https://portal.ecert.example/renewals/1?from=payment",
        "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        **changes,
    }


def post(sandbox: Sandbox, path: str, body: Json, key: str | None = None) -> requests.Response:
    headers = AUTHORISED | {"Idempotency-Key": key or str(uuid.uuid4())}
    return requests.post(f"{sandbox.url}{path}", json=body, headers=headers, timeout=5)


def get(sandbox: Sandbox, path: str) -> Json:
    body: Json = requests.get(f"{sandbox.url}{path}", headers=AUTHORISED, timeout=5).json()
    return body


def opened(sandbox: Sandbox, **changes: object) -> Json:
    answer = post(sandbox, "/v1/checkout-sessions", wanted(**changes))
    assert answer.status_code == 201, answer.text
    session: Json = answer.json()
    return session


def captured(sandbox: Sandbox) -> Json:
    session = opened(sandbox)
    sandbox.press(session["checkout_url"], "pay")
    answer = post(
        sandbox, f"/v1/checkout-sessions/{session['id']}/capture", {"amount_minor": 250_000, "currency": "HKD"}
    )
    assert answer.status_code == 200, answer.text
    taken: Json = answer.json()
    return taken


def refund_of(session: Json, amount_minor: int) -> Json:
    return {
        "session_id": session["id"],
        "reference": str(uuid.uuid4()),
        "amount_minor": amount_minor,
        "currency": "HKD",
    }


def test_same_key_and_body_open_one_session(sandbox: Sandbox) -> None:
    body = wanted()
    first = post(sandbox, "/v1/checkout-sessions", body, key="k-" + body["reference"])
    second = post(sandbox, "/v1/checkout-sessions", body, key="k-" + body["reference"])
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert len(sandbox.effects("session", body["reference"])) == 1


def test_same_key_with_another_body_is_refused(sandbox: Sandbox) -> None:
    body = wanted()
    post(sandbox, "/v1/checkout-sessions", body, key="k-" + body["reference"])
    answer = post(sandbox, "/v1/checkout-sessions", body | {"amount_minor": 1}, key="k-" + body["reference"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_reused")


def test_paid_session_is_captured_once(sandbox: Sandbox) -> None:
    session = captured(sandbox)
    again = post(
        sandbox, f"/v1/checkout-sessions/{session['id']}/capture", {"amount_minor": 250_000, "currency": "HKD"}
    )
    assert session["status"] == "captured"
    assert session["captured_minor"] == 250_000
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_captured")
    assert len(sandbox.effects("capture", session["reference"])) == 1


def test_session_that_nobody_paid_is_not_captured(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    answer = post(
        sandbox, f"/v1/checkout-sessions/{session['id']}/capture", {"amount_minor": 250_000, "currency": "HKD"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_paid")


def test_session_is_found_by_the_merchants_reference(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    found = get(sandbox, f"/v1/checkout-sessions?reference={session['reference']}")["data"]
    assert found == [session] == [get(sandbox, f"/v1/checkout-sessions/{session['id']}")]


def test_cancelled_session_cannot_be_paid(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    for _ in range(2):
        answer = post(sandbox, f"/v1/checkout-sessions/{session['id']}/cancel", {})
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    sandbox.press(session["checkout_url"], "pay")
    assert get(sandbox, f"/v1/checkout-sessions/{session['id']}")["status"] == "cancelled"


def test_cancelling_a_paid_session_is_refused_as_paid(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    sandbox.press(session["checkout_url"], "pay")
    answer = post(sandbox, f"/v1/checkout-sessions/{session['id']}/cancel", {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_paid")


def test_refunds_never_add_up_to_more_than_was_captured(sandbox: Sandbox) -> None:
    session = captured(sandbox)
    assert post(sandbox, "/v1/refunds", refund_of(session, 200_000)).status_code == 201
    answer = post(sandbox, "/v1/refunds", refund_of(session, 50_001))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "too_much")
    assert post(sandbox, "/v1/refunds", refund_of(session, 50_000)).status_code == 201


def test_refund_is_made_once_per_key_and_found_by_reference(sandbox: Sandbox) -> None:
    body = refund_of(captured(sandbox), 100)
    answers = [post(sandbox, "/v1/refunds", body, key=body["reference"]) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert get(sandbox, f"/v1/refunds?reference={body['reference']}")["data"] == [answers[0].json()]
    assert len(sandbox.effects("refund", body["reference"])) == 1


def test_page_is_plain_accessible_html_that_returns_to_the_merchant_only(sandbox: Sandbox) -> None:
    session = opened(sandbox, description="<b>R-0001</b>")
    page = requests.get(session["checkout_url"], timeout=5)
    assert page.status_code == 200
    assert '<html lang="en">' in page.text
    assert "<h1>" in page.text
    assert "HKD 2,500.00" in page.text
    assert "<script" not in page.text
    assert "<b>" not in page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    back = sandbox.press(session["checkout_url"] + "?return_url=https://evil.example", "cancel")
    assert (back.status_code, back.headers["Location"]) == (303, "https://portal.ecert.example/renewals/1?from=payment")
    assert get(sandbox, f"/v1/checkout-sessions/{session['id']}")["status"] == "open"


def test_declined_payer_can_try_again(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    answer = sandbox.press(session["checkout_url"], "decline")
    assert (answer.status_code, answer.headers["Location"]) == (303, session["checkout_url"].removeprefix(sandbox.url))
    assert 'role="alert"' in requests.get(session["checkout_url"], timeout=5).text
    found = get(sandbox, f"/v1/checkout-sessions/{session['id']}")
    assert (found["status"], [one["reason"] for one in found["declines"]]) == ("open", ["card_declined"])
    assert sandbox.press(session["checkout_url"], "pay").headers["Location"].startswith("https://portal.ecert.example/")


def test_session_expires(sandbox: Sandbox) -> None:
    session = opened(sandbox, expires_at=(datetime.now(UTC) + timedelta(seconds=1.5)).isoformat())
    time.sleep(1.6)  # the session's end is what is tried
    sandbox.press(session["checkout_url"], "pay")
    assert get(sandbox, f"/v1/checkout-sessions/{session['id']}")["status"] == "expired"


def test_webhooks_are_signed_with_every_secret(sandbox: Sandbox, merchant: Merchant) -> None:
    session = opened(sandbox)
    sandbox.press(session["checkout_url"], "pay")
    webhook = merchant.wait_for(1)[0]
    signed = f"{webhook.headers['webhook-id']}.{webhook.headers['webhook-timestamp']}.".encode() + webhook.body
    expected = [
        "v1,"
        + base64.b64encode(hmac.digest(base64.b64decode(one.removeprefix("whsec_")), signed, hashlib.sha256)).decode()
        for one in (OLD_SECRET, NEW_SECRET)
    ]
    assert webhook.headers["webhook-signature"].split(" ") == expected
    assert json.loads(webhook.body)["type"] == "checkout.paid"
    assert json.loads(webhook.body)["data"] == {"session_id": session["id"], "reference": session["reference"]}


def test_webhook_is_retried_until_the_merchant_accepts_it(sandbox: Sandbox, merchant: Merchant) -> None:
    merchant.statuses[:] = [500, 302]
    sandbox.press(opened(sandbox)["checkout_url"], "pay")
    webhooks = merchant.wait_for(3)
    assert len({one.headers["webhook-id"] for one in webhooks}) == 1
    time.sleep(0.5)  # a fourth delivery would come in this time
    assert len(webhooks) == 3


def test_webhook_can_be_lost_doubled_or_delayed(sandbox: Sandbox, merchant: Merchant) -> None:
    sandbox.order_fault("webhook", "lost")
    sandbox.press(opened(sandbox)["checkout_url"], "pay")
    sandbox.order_fault("webhook", "doubled")
    sandbox.press(opened(sandbox)["checkout_url"], "pay")
    first, second = merchant.wait_for(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    sandbox.order_fault("webhook", "delayed", seconds=0.5)
    before = time.monotonic()
    sandbox.press(opened(sandbox)["checkout_url"], "pay")
    merchant.wait_for(3)
    assert time.monotonic() - before >= 0.4


def test_lost_answer_keeps_its_effect_and_is_repeated_for_its_key(sandbox: Sandbox) -> None:
    body = wanted()
    sandbox.order_fault("create", "lost")
    with pytest.raises(requests.ConnectionError):
        post(sandbox, "/v1/checkout-sessions", body, key=body["reference"])
    answer = post(sandbox, "/v1/checkout-sessions", body, key=body["reference"])
    assert answer.status_code == 201
    assert len(sandbox.effects("session", body["reference"])) == 1


def test_ordered_error_does_nothing_and_ends_after_its_count(sandbox: Sandbox) -> None:
    body = wanted()
    sandbox.order_fault("create", "error", times=2)
    statuses = [post(sandbox, "/v1/checkout-sessions", body, key=body["reference"]).status_code for _ in range(3)]
    assert statuses == [500, 500, 201]
    assert len(sandbox.effects("session", body["reference"])) == 1


def test_hanging_call_outlasts_the_clients_timeout(sandbox: Sandbox) -> None:
    sandbox.order_fault("retrieve", "hang", seconds=1)
    with pytest.raises(requests.Timeout):
        requests.get(f"{sandbox.url}/v1/checkout-sessions/cs_1", headers=AUTHORISED, timeout=0.3)


def test_webhooks_and_sessions_survive_a_kill(tmp_path: Path) -> None:
    with running_merchant() as merchant:
        merchant.statuses[:] = [500] * 100
        with running_sandbox(tmp_path / "store.sqlite", merchant.url) as sandbox:
            session = opened(sandbox)
            sandbox.press(session["checkout_url"], "pay")
            # A delivery cut off in the middle comes due again only when its lease is over.
            wait_until(lambda: sandbox.webhooks()[0]["last_status"] == 500, limit=10, what="a refused webhook")
            sandbox.kill()
        merchant.statuses.clear()
        count = len(merchant.received)
        with running_sandbox(tmp_path / "store.sqlite", merchant.url) as sandbox:
            merchant.wait_for(count + 1)
            assert get(sandbox, f"/v1/checkout-sessions/{session['id']}")["status"] == "paid"


BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"[" * 60_000,
    json.dumps(wanted(amount_minor=-1)).encode(),
    json.dumps(wanted(amount_minor="12")).encode(),
    json.dumps(wanted(amount_minor=1.5)).encode(),
    json.dumps(wanted(amount_minor=True)).encode(),
    json.dumps(wanted(return_url="javascript:alert(1)")).encode(),
    json.dumps(wanted(return_url="https://user:pw@evil.example/")).encode(),
    json.dumps(wanted(return_url="https://[")).encode(),
    json.dumps(wanted(expires_at="tomorrow")).encode(),
    json.dumps(wanted(expires_at="2020-01-01T00:00:00Z")).encode(),
    json.dumps(wanted(surprise=1)).encode(),
    json.dumps(wanted(reference="a\nb")).encode(),
    json.dumps(wanted(reference="a\n")).encode(),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_body_is_refused_and_never_a_500(sandbox: Sandbox, body: bytes) -> None:
    headers = AUTHORISED | {"Idempotency-Key": str(uuid.uuid4())}
    for path in ("/v1/checkout-sessions", "/v1/refunds", "/v1/checkout-sessions/cs_1/capture", "/admin/faults"):
        answer = requests.post(f"{sandbox.url}{path}", data=body, headers=headers, timeout=5)
        assert answer.status_code in {404, 422}, (path, answer.text)
        assert "error" in answer.json()


def test_large_body_is_refused(sandbox: Sandbox) -> None:
    headers = AUTHORISED | {"Idempotency-Key": "large"}
    answer = requests.post(f"{sandbox.url}/v1/refunds", data=b"x" * 1_000_000, headers=headers, timeout=5)
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/v1/account", "/v1/checkout-sessions", "/admin/effects", "/admin/webhooks"])
@pytest.mark.parametrize("header", ["", "Bearer ", f"Basic {API_KEY}", f"Bearer {API_KEY}x", "Bearer ÿ"])
def test_missing_api_key_is_refused(sandbox: Sandbox, path: str, header: str) -> None:
    answer = requests.get(f"{sandbox.url}{path}", headers={"Authorization": header.encode("latin-1")}, timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_api_key")


def test_post_without_an_idempotency_key_is_refused(sandbox: Sandbox) -> None:
    answer = requests.post(f"{sandbox.url}/v1/checkout-sessions", json=wanted(), headers=AUTHORISED, timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_idempotency_key")


def test_unknown_page_or_decision_is_refused(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.url}/checkout/unknown", timeout=5).status_code == 404
    assert sandbox.press(opened(sandbox)["checkout_url"], "steal").status_code == 400

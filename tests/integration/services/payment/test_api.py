"""Payment over HTTP: who may open a checkout, what a repetition answers, what bad input gets."""

import json
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from services.payment.webhook import WEBHOOKS
from shared.security.tokens import KeySet, TokenKind, verify
from shared.vocabulary import RenewalId
from tests.integration.services.payment.sandbox_process import OLD_SECRET, free_port
from tests.integration.services.payment.world import AMOUNT, World, webhook_body, webhook_headers
from tests.support.builders import signing_key
from tests.support.problems import problem

ID = "11111111-1111-4111-8111-111111111111"


def test_checkout_has_the_fee_of_the_renewal(world: World) -> None:
    renewal_id = world.submitted()
    answer = world.ask_for_checkout(renewal_id)
    assert answer.status_code == 200
    body = answer.get_json()
    assert (body["renewal_id"], body["amount_minor"], body["currency"]) == (str(renewal_id), AMOUNT, "HKD")
    assert body["checkout_url"].startswith(world.sandbox.url)
    assert world.sandbox.press(body["checkout_url"], "cancel").headers["Location"].endswith(f"/renewals/{renewal_id}")


def test_repeated_request_returns_the_same_open_checkout(world: World) -> None:
    renewal_id = world.submitted()
    assert world.checkout_url(renewal_id) == world.checkout_url(renewal_id)
    (reference,) = world.checkout_ids(renewal_id)
    assert len(world.sandbox.effects("session", reference)) == 1


def test_same_key_gets_the_same_answer_and_another_body_is_refused(world: World) -> None:
    renewal_id = world.submitted()
    authorisation = world.authorisation(renewal_id)
    answers = [world.ask_for_checkout(renewal_id, authorisation=authorisation, key="key-00001") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data
    assert problem(world.ask_for_checkout(renewal_id, key="key-00001")) == (422, "idempotency-key-reused")


def test_authorisation_can_be_used_once(world: World) -> None:
    renewal_id = world.submitted()
    authorisation = world.authorisation(renewal_id)
    assert world.ask_for_checkout(renewal_id, authorisation=authorisation).status_code == 200
    again = world.ask_for_checkout(renewal_id, authorisation=authorisation)
    assert problem(again) == (409, "authorisation-used")


@pytest.mark.parametrize("fault", ["error", "lost", "hang"])
def test_provider_error_is_503_and_the_same_request_works_later(world: World, fault: str) -> None:
    renewal_id = world.submitted()
    authorisation = world.authorisation(renewal_id)
    world.sandbox.order_fault("create", fault, seconds=6)
    answer = world.ask_for_checkout(renewal_id, authorisation=authorisation, key="key-00001")
    assert problem(answer) == (503, "provider-unavailable")
    assert answer.headers["Retry-After"] == "5"
    answer = world.ask_for_checkout(renewal_id, authorisation=authorisation, key="key-00001")
    assert answer.status_code == 200
    (reference,) = world.checkout_ids(renewal_id)
    assert len(world.sandbox.effects("session", reference)) == 1


def test_provider_that_is_down_is_503_and_nothing_is_lost(world: World) -> None:
    renewal_id = world.submitted()
    down = World(pool=world.pool, sandbox=world.sandbox, provider_url=f"http://127.0.0.1:{free_port()}")
    assert problem(down.ask_for_checkout(renewal_id)) == (503, "provider-unavailable")
    assert world.ask_for_checkout(renewal_id).status_code == 200


def test_concurrent_requests_open_one_session(world: World) -> None:
    renewal_id = world.submitted()
    answers: list[TestResponse] = []
    threads = [threading.Thread(target=lambda: answers.append(world.ask_for_checkout(renewal_id))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.get_json()["checkout_url"] for answer in answers}) == 1
    (reference,) = world.checkout_ids(renewal_id)
    assert len(world.sandbox.effects("session", reference)) == 1


def test_checkout_that_ended_at_the_provider_is_replaced(world: World) -> None:
    renewal_id = world.submitted(pay_before=world.clock() + timedelta(seconds=3))
    first = world.checkout_url(renewal_id)
    time.sleep(3.1)  # the provider ends the session by its own clock
    world.work_later()
    assert world.state(renewal_id) == "awaiting-checkout"
    assert problem(world.ask_for_checkout(renewal_id)) == (409, "payment-closed")
    world.rows("UPDATE payments SET pay_before = %s RETURNING id", world.clock() + timedelta(days=1))
    assert world.checkout_url(renewal_id) != first


def test_unknown_renewal_is_404_with_retry_after(world: World) -> None:
    answer = world.ask_for_checkout(RenewalId(uuid.uuid4()))
    assert problem(answer) == (404, "payment-not-ready")
    assert answer.headers["Retry-After"] == "2"


def test_payments_of_other_subscribers_are_404(world: World) -> None:
    renewal_id = world.captured()
    stranger = {"sub": "ar-9", "subscriber_id": "sub-9"}
    assert problem(world.ask_for_checkout(renewal_id, **stranger)) == (404, "payment-not-ready")
    assert problem(world.show(renewal_id, **stranger)) == (404, "payment-not-ready")
    assert problem(world.show(renewal_id, "/receipt", **stranger)) == (404, "payment-not-ready")


def test_another_ar_of_the_subscriber_may_read_but_not_pay(world: World) -> None:
    renewal_id = world.submitted()
    assert problem(world.ask_for_checkout(renewal_id, sub="ar-2")) == (403, "not-the-representative")
    assert world.show(renewal_id, sub="ar-2").status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"renewal_id": str(uuid.uuid4())},
        {"sub": "ar-2"},
        {"subscriber_id": "sub-2"},
        {"certificate_sha256": "00" * 32},
    ],
    ids=["renewal", "ar", "subscriber", "certificate"],
)
def test_authorisation_for_another_renewal_or_purpose_is_refused(world: World, claims: dict[str, str]) -> None:
    renewal_id = world.submitted()
    answer = world.ask_for_checkout(renewal_id, authorisation=world.authorisation(renewal_id, **claims))
    assert problem(answer) == (403, "authorisation-refused")
    assert world.checkout_ids(renewal_id) == []


def test_expired_or_forged_authorisation_is_refused(world: World) -> None:
    renewal_id = world.submitted()
    old = world.authorisation(renewal_id)
    forger = World(pool=world.pool, sandbox=world.sandbox, identity_key=signing_key("stranger"))
    access = world.access()["Authorization"].removeprefix("Bearer ")
    for token in (forger.authorisation(renewal_id), access, "x", old[:-4]):
        answer = world.ask_for_checkout(renewal_id, authorisation=token)
        assert problem(answer) == (403, "authorisation-refused")
    world.later += timedelta(minutes=5, seconds=1)
    assert problem(world.ask_for_checkout(renewal_id, authorisation=old)) == (403, "authorisation-refused")


def test_no_checkout_opens_after_the_payment_deadline_or_the_capture(world: World) -> None:
    late = world.submitted()
    world.later += timedelta(days=8)
    assert problem(world.ask_for_checkout(late)) == (409, "payment-closed")
    world.later = timedelta()
    assert problem(world.ask_for_checkout(world.captured())) == (409, "already-paid")


def test_payment_shows_its_state_and_its_receipt(world: World) -> None:
    renewal_id = world.submitted()
    assert world.show(renewal_id).get_json()["state"] == "awaiting-checkout"
    assert problem(world.show(renewal_id, "/receipt")) == (404, "no-receipt-yet")
    renewal_id = world.captured()
    shown = world.show(renewal_id).get_json()
    assert (shown["state"], shown["amount_minor"], shown["refunds"]) == ("captured", AMOUNT, [])
    receipt = world.show(renewal_id, "/receipt").get_json()
    keys = KeySet.parse({"keys": [world.payment_key.jwk()]})
    claims = verify(receipt["signed"], kind=TokenKind.RECEIPT, keys=keys, now=world.clock(), issuer="payment")
    shared = ("payment_id", "amount_minor", "currency", "payer_name", "provider_reference", "document_sha256")
    assert {name: receipt[name] for name in shared} == {name: claims[name] for name in shared}


def test_request_without_a_token_is_401(world: World) -> None:
    assert problem(world.http.get(f"/payment/v1/payments/{ID}")) == (401, "token-refused")
    assert problem(world.http.get(f"/payment/v1/payments/{ID}/receipt")) == (401, "token-refused")
    assert problem(world.http.post("/payment/v1/checkouts", json={})) == (401, "token-refused")


BAD_BODIES: list[Any] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff",
    b"[" * 100_000,
    json.dumps({"renewal_id": ID}).encode(),
    json.dumps({"renewal_id": 7, "authorisation": "x"}).encode(),
    json.dumps({"renewal_id": ID, "authorisation": ["x"]}).encode(),
    json.dumps({"renewal_id": ID, "authorisation": "x", "amount_minor": 1}).encode(),
    json.dumps({"renewal_id": ID, "authorisation": "\x00"}).encode(),
    json.dumps({"renewal_id": ID, "authorisation": "x" * 5000}).encode(),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_body_gets_a_problem_and_never_a_500(world: World, body: bytes) -> None:
    headers = world.access() | {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
    answer = world.http.post("/payment/v1/checkouts", data=body, headers=headers)
    assert problem(answer)[0] in {400, 413, 422}


def test_body_of_a_megabyte_is_refused(world: World) -> None:
    headers = world.access() | {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
    assert problem(world.http.post("/payment/v1/checkouts", data=b" " * 1_000_000, headers=headers))[0] == 413
    assert problem(world.post_webhook(ID, body=b" " * 1_000_000))[0] == 413


def test_missing_idempotency_key_is_refused(world: World) -> None:
    body = {"renewal_id": ID, "authorisation": "x"}
    answer = world.http.post("/payment/v1/checkouts", json=body, headers=world.access())
    assert problem(answer) == (400, "idempotency-key-missing")


def signature_of(body: bytes, world: World, *, age: timedelta = timedelta(), secret: str = OLD_SECRET) -> str:
    return webhook_headers(body, "msg_1", world.clock() - age, secret)["webhook-signature"]


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": OLD_SECRET},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v2,AAAA v1 v1,=== v1,ÿ"},
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 201},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "99999999999"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "²"},
        {"webhook-timestamp": "9" * 1000},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_bad_webhook_is_refused_and_changes_nothing(world: World, changes: dict[str, str]) -> None:
    renewal_id = world.paid()
    reference = world.checkout_ids(renewal_id)[0]
    answer = world.post_webhook(reference, webhook_id=changes.pop("webhook_id", "msg_1"), **changes)
    assert problem(answer) == (400, "webhook-refused")
    world.work()
    assert (world.state(renewal_id), world.rows("SELECT id FROM provider_webhooks")) == ("open", [])


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"{}", "unreadable"),
        (b"[]", "unreadable"),
        (b"7", "unreadable"),
        (b'"x"', "unreadable"),
        (b'{"type":1,"data":{"reference":"x"}}', "unreadable"),
        (b'{"type":"checkout.paid","data":{}}', "unreadable"),
        (b'{"type":"payout.sent","data":{"id":"po_1"}}', "other-kind"),
        (b'{"type":"refund.failed","data":{"reference":"r"}}', "other-kind"),
        (b'{"type":"customer.created"}', "other-kind"),
    ],
)
def test_signed_webhook_of_an_unused_type_is_accepted_and_counted(world: World, body: bytes, outcome: str) -> None:
    before = WEBHOOKS.labels(outcome)._value.get()
    assert world.post_webhook("", body=body).status_code == 204
    assert WEBHOOKS.labels(outcome)._value.get() == before + 1
    assert world.rows("SELECT id FROM provider_webhooks") == []


def test_signed_webhook_about_an_unknown_payment_is_accepted_and_ignored(world: World) -> None:
    for number, reference in enumerate((str(uuid.uuid4()), "refund-7", "", "\\u0000")):
        answer = world.post_webhook(reference, webhook_id=f"msg_{number}")
        assert answer.status_code == 204, answer.text


def test_webhook_signed_over_other_bytes_is_refused(world: World) -> None:
    signature = webhook_headers(webhook_body(ID), "msg_1", world.clock(), OLD_SECRET)["webhook-signature"]
    assert problem(world.post_webhook(str(uuid.uuid4()), **{"webhook-signature": signature}))[0] == 400


def test_openapi_document_is_served(world: World) -> None:
    document = world.http.get("/payment/v1/openapi.json").get_json()
    assert set(document["paths"]) == {
        "/payment/v1/checkouts",
        "/payment/v1/provider-webhooks",
        "/payment/v1/payments/{renewal_id}",
        "/payment/v1/payments/{renewal_id}/receipt",
        "/payment/v1/jwks",
    }


def test_published_keys_verify_a_receipt(world: World) -> None:
    published = world.http.get("/payment/v1/jwks").get_json()
    receipt = world.show(world.captured(), "/receipt").get_json()
    claims = verify(
        receipt["signed"],
        kind=TokenKind.RECEIPT,
        keys=KeySet.parse(published),
        now=world.clock(),
        issuer="payment",
    )
    assert claims["sub"] == receipt["renewal_id"]

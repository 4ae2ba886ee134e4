"""Webhooks are accepted by their signature over id, time and raw bytes, as Standard Webhooks says."""

from datetime import UTC, datetime, timedelta

import pytest

from services.payment.refusals import WebhookRefused
from services.payment.webhook import decode_secret, receive, verify

# Made with: openssl dgst -sha256 -mac HMAC over "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." and the body.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type": "checkout.paid", "data": {"reference": "r-1"}}'
SIGNED_AT = datetime.fromtimestamp(1614265330, UTC)
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,TXTKTB/4sMexKYHF4C2jMwcqh0ayt0C7+71PNtZjg1c=",
}
OTHER = "whsec_" + "QUFB" * 10


def test_signed_webhook_is_read() -> None:
    webhook = receive(HEADERS, BODY, secrets=[decode_secret(SECRET)], now=SIGNED_AT)
    assert webhook is not None
    assert (webhook.id, webhook.type, webhook.reference) == (HEADERS["webhook-id"], "checkout.paid", "r-1")


def test_any_secret_and_any_signature_may_match() -> None:
    headers = HEADERS | {"webhook-signature": f"v1a,x v1,AAAA {HEADERS['webhook-signature']}"}
    verify(headers, BODY, secrets=[decode_secret(OTHER), decode_secret(SECRET)], now=SIGNED_AT)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_webhook_older_than_five_minutes_is_refused(seconds: int) -> None:
    secrets = [decode_secret(SECRET)]
    verify(HEADERS, BODY, secrets=secrets, now=SIGNED_AT + timedelta(seconds=seconds - (1 if seconds > 0 else -1)))
    with pytest.raises(WebhookRefused):
        verify(HEADERS, BODY, secrets=secrets, now=SIGNED_AT + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", "1614265331"),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-id", ""),
    ],
)
def test_changed_header_is_refused(name: str, value: str) -> None:
    with pytest.raises(WebhookRefused):
        verify(HEADERS | {name: value}, BODY, secrets=[decode_secret(SECRET)], now=SIGNED_AT)


def test_changed_body_or_another_secret_is_refused() -> None:
    with pytest.raises(WebhookRefused):
        verify(HEADERS, BODY + b" ", secrets=[decode_secret(SECRET)], now=SIGNED_AT)
    with pytest.raises(WebhookRefused):
        verify(HEADERS, BODY, secrets=[decode_secret(OTHER)], now=SIGNED_AT)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_QUFB", "secret_" + "QUFB" * 10, "whsec_!!!!" + "QUFB" * 10])
def test_weak_or_unreadable_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        decode_secret(text)

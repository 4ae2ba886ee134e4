"""Webhooks of the provider, verified as Standard Webhooks specifies; each is only a hint to query the provider."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from prometheus_client import Counter

from services.payment.refusals import WebhookRefused
from shared.observability.metrics import preset

TOLERANCE_SECONDS: Final = 300
MAX_ID_LENGTH: Final = 200
MAX_SIGNATURES: Final = 20
MIN_SECRET_BYTES: Final = 24


# Kinds of webhooks that lead to a query. Other kinds are answered with success as well: the provider repeats refused
# ones, and finally disables an endpoint that refuses many.
USED: Final = frozenset(
    {"checkout.paid", "checkout.captured", "checkout.cancelled", "checkout.expired", "checkout.declined"}
)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A verified webhook of a kind that we use; `reference` is ours, if it has one."""

    id: str
    type: str
    reference: str


class WebhookOutcome(StrEnum):
    """Outcome of a webhook."""

    USED = "used"
    OTHER_KIND = "other-kind"
    UNREADABLE = "unreadable"
    REFUSED = "refused"


WEBHOOKS = preset(Counter("payment_webhooks_total", "Webhooks received by outcome", ["outcome"]), WebhookOutcome)


def decode_secret(text: str) -> bytes:
    """Return the bytes of a whsec_… secret. Raises ValueError."""
    prefix, _, encoded = text.strip().partition("_")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and base64") from error
    if prefix != "whsec" or len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"a webhook secret is whsec_ and base64 of {MIN_SECRET_BYTES} bytes or more")
    return secret


def receive(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[bytes], now: datetime) -> Webhook | None:
    """Verify and count a webhook. Returns None for a valid one of a kind that is not used.

    Raises WebhookRefused unless one of our secrets signed these bytes within the last five minutes.
    """
    try:
        webhook_id = verify(headers, body, secrets=secrets, now=now)
    except WebhookRefused:
        WEBHOOKS.labels(WebhookOutcome.REFUSED).inc()
        raise
    webhook, outcome = _read(webhook_id, body)
    WEBHOOKS.labels(outcome).inc()
    return webhook


def verify(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[bytes], now: datetime) -> str:
    """Return the webhook's id if one of our secrets signed these bytes within the last five minutes. Raises
    WebhookRefused.

    Several secrets are accepted while they are being rotated.
    """
    webhook_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (0 < len(webhook_id) <= MAX_ID_LENGTH and webhook_id.isascii() and webhook_id.isprintable()):
        raise WebhookRefused("no usable webhook-id")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise WebhookRefused("no usable webhook-timestamp")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE_SECONDS:
        raise WebhookRefused("too old or too new")
    if not _is_signed(headers.get("webhook-signature", ""), webhook_id, stamp, body, secrets):
        raise WebhookRefused("no valid signature")
    return webhook_id


def _is_signed(header: str, webhook_id: str, stamp: str, body: bytes, secrets: Sequence[bytes]) -> bool:
    message = b".".join((webhook_id.encode(), stamp.encode(), body))
    expected = [base64.b64encode(hmac.digest(secret, message, hashlib.sha256)) for secret in secrets]
    given = [
        part.removeprefix("v1,").encode("utf-8", "surrogateescape")
        for part in header.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
        if part.startswith("v1,")
    ]
    # Every pair is compared, so that the duration does not reveal which one matched.
    fits = [hmac.compare_digest(one, other) for one in expected for other in given]
    return any(fits)


def _read(webhook_id: str, body: bytes) -> tuple[Webhook | None, WebhookOutcome]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None, WebhookOutcome.UNREADABLE
    match content:
        case {"type": str(kind), "data": {"reference": str(reference)}} if kind in USED:
            return Webhook(id=webhook_id, type=kind, reference=reference), WebhookOutcome.USED
        case {"type": str(kind)} if kind not in USED:
            return None, WebhookOutcome.OTHER_KIND
    return None, WebhookOutcome.UNREADABLE

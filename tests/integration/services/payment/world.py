"""Payment's parts put together for a test: a real database, the running sandbox, keys and a clock."""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.payment import api, handlers, outcomes, work
from services.payment.provider_adapter import ProviderAdapter
from services.payment.webhook import decode_secret
from shared.errors import Ignored
from shared.events.application import (
    CheckoutClosureRequested,
    ClosureReason,
    ItemFee,
    RefundDue,
    RenewalSubmitted,
)
from shared.events.base import Event
from shared.messaging.subscriptions import by_type
from shared.security.tokens import KeySet, SigningKey, TokenKind, sign
from shared.vocabulary import ARId, ItemId, RenewalId, SubscriberId
from shared.web.app import create_app
from tests.integration.services.payment.sandbox_process import API_KEY, NEW_SECRET, Sandbox
from tests.support.builders import FINGERPRINTS, signing_key, verified
from tests.support.world import BaseWorld

AMOUNT: Final = 250_000
CERTIFICATE: Final = "ab" * 32
RETURN_URL: Final = "https://portal.ecert.example/renewals/{renewal_id}"


@dataclass(kw_only=True)
class World(BaseWorld):
    """One payment service, on the clock of the running sandbox."""

    sandbox: Sandbox
    identity_key: SigningKey = field(default_factory=lambda: signing_key("identity"))
    payment_key: SigningKey = field(default_factory=lambda: signing_key("payment"))
    later: timedelta = timedelta()
    provider_url: str = ""

    def __post_init__(self) -> None:
        app = create_app(
            "payment",
            blueprints=[api.blp],
            problem_table=api.PROBLEMS,
            pool=self.pool,
            keys=KeySet.parse({"keys": [self.identity_key.jwk()]}),
            fingerprints=FINGERPRINTS,
            deps=api.Deps(
                provider=self.adapter(),
                record=outcomes.recorder(self.payment_key),
                webhook_secrets=(decode_secret(NEW_SECRET),),
                return_url=RETURN_URL,
                jwks={"keys": [self.payment_key.jwk()]},
            ),
            clock=self.clock,
        )
        self.http: FlaskClient = app.test_client()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.later

    def adapter(self) -> ProviderAdapter:
        return ProviderAdapter(url=self.provider_url or self.sandbox.url, api_key=API_KEY, live_only=False)

    def handle(self, event: Event) -> None:
        """Run the handler of an event, without inbox. Raises what the handler raises."""
        with self.begin() as tx:
            by_type(handlers.subscriptions())[event.TYPE].handle(tx, event)

    def changes_something(self, event: Event) -> bool:
        """Run the handler of an event; return False if the event is ignored."""
        try:
            self.handle(event)
        except Ignored:
            return False
        return True

    def submitted(self, **changes: Any) -> RenewalId:
        """Return a renewal that waits for its money."""
        event = renewal_submitted(now=self.clock(), **changes)
        self.handle(event)
        return event.renewal_id

    def capture_next(self) -> bool:
        return work.capture_next(self.pool, self.adapter(), outcomes.recorder(self.payment_key), clock=self.clock)

    def refund_next(self) -> bool:
        return work.refund_next(self.pool, self.adapter(), clock=self.clock)

    def work(self) -> None:
        """Work everything that is due now."""
        while self.capture_next() or self.refund_next():
            pass

    def work_later(self, minutes: int = 6) -> None:
        """Work everything that becomes due in the next minutes."""
        self.later += timedelta(minutes=minutes)
        self.work()

    def access(self, **changes: str) -> dict[str, str]:
        """Return the headers of a signed-in AR."""
        claims = {"sub": "ar-1", "subscriber_id": "sub-1", "certificate_sha256": CERTIFICATE, "role": "ar"}
        claims |= verified(self.clock()) | changes
        token = sign(claims, kind=TokenKind.ACCESS, key=self.identity_key, now=self.clock(), issuer="identity")
        return {"Authorization": f"Bearer {token}"}

    def authorisation(self, for_renewal: RenewalId, /, **changes: str) -> str:
        """Return what identity gives an AR whose certificate it has just checked again."""
        claims = {
            "sub": "ar-1",
            "subscriber_id": "sub-1",
            "certificate_sha256": CERTIFICATE,
            "renewal_id": str(for_renewal),
            "jti": str(uuid.uuid4()),
        }
        return sign(
            claims | changes, kind=TokenKind.CHECKOUT, key=self.identity_key, now=self.clock(), issuer="identity"
        )

    def ask_for_checkout(
        self, renewal_id: RenewalId, *, authorisation: str | None = None, key: str | None = None, **caller: str
    ) -> TestResponse:
        """Send POST /payment/v1/checkouts."""
        return self.http.post(
            "/payment/v1/checkouts",
            json={
                "renewal_id": str(renewal_id),
                "authorisation": authorisation or self.authorisation(renewal_id, **caller),
            },
            headers=self.access(**caller) | {"Idempotency-Key": key or str(uuid.uuid4())},
        )

    def checkout_url(self, renewal_id: RenewalId) -> str:
        """Return the open checkout page of a renewal."""
        answer = self.ask_for_checkout(renewal_id)
        assert answer.status_code == 200, answer.text
        url: str = answer.get_json()["checkout_url"]
        return url

    def paid(self, **changes: Any) -> RenewalId:
        """Return a renewal whose AR has paid at the provider's page; nobody here knows yet."""
        renewal_id = self.submitted(**changes)
        self.sandbox.press(self.checkout_url(renewal_id), "pay")
        return renewal_id

    def captured(self, **changes: Any) -> RenewalId:
        renewal_id = self.paid(**changes)
        self.work_later()
        assert self.state(renewal_id) == "captured"
        return renewal_id

    def show(self, renewal_id: RenewalId, what: str = "", **caller: str) -> TestResponse:
        return self.http.get(f"/payment/v1/payments/{renewal_id}{what}", headers=self.access(**caller))

    def state(self, renewal_id: RenewalId) -> str:
        state: str = self.show(renewal_id).get_json()["state"]
        return state

    def checkout_ids(self, renewal_id: RenewalId) -> list[str]:
        """Return our references at the provider, oldest first."""
        return [
            str(row[0])
            for row in self.rows(
                "SELECT c.id FROM checkouts AS c JOIN payments AS p ON p.id = c.payment_id"
                " WHERE p.renewal_id = %s ORDER BY c.created_at",
                renewal_id,
            )
        ]

    def captures(self, renewal_id: RenewalId) -> list[dict[str, object]]:
        """Return what the provider really captured for a renewal."""
        return [effect for one in self.checkout_ids(renewal_id) for effect in self.sandbox.effects("capture", one)]

    def post_webhook(
        self, reference: str, *, webhook_id: str = "msg_1", secret: str = NEW_SECRET, **changes: Any
    ) -> TestResponse:
        """Send a webhook as the provider does; `changes` falsify it."""
        body = changes.pop("body", None) or webhook_body(reference)
        headers = webhook_headers(body, webhook_id, self.clock(), secret) | changes
        return self.http.post("/payment/v1/provider-webhooks", data=body, headers=headers)


def webhook_body(reference: str) -> bytes:
    return json.dumps({"type": "checkout.paid", "timestamp": 1, "data": {"reference": reference}}).encode()


def webhook_headers(body: bytes, webhook_id: str, now: datetime, secret: str) -> dict[str, str]:
    stamp = str(int(now.timestamp()))
    signed = f"{webhook_id}.{stamp}.".encode() + body
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def renewal_submitted(*, now: datetime, **changes: Any) -> RenewalSubmitted:
    defaults: Mapping[str, Any] = {
        "renewal_id": RenewalId(uuid.uuid4()),
        "reference": "R-0001",
        "subscriber_id": SubscriberId("sub-1"),
        "ar_id": ARId("ar-1"),
        "payer_name": "Example Limited",
        "amount_minor": AMOUNT,
        "currency": "HKD",
        "items": (ItemFee(item_id=ItemId(uuid.uuid4()), amount_minor=AMOUNT),),
        "document_sha256": "cd" * 32,
        "pay_before": now + timedelta(days=7),
    }
    return RenewalSubmitted(**{**defaults, **changes})


def closure(renewal_id: RenewalId) -> CheckoutClosureRequested:
    return CheckoutClosureRequested(renewal_id=renewal_id, reason=ClosureReason.CANCELLED)


def refund_due(renewal_id: RenewalId, amount_minor: int = AMOUNT, **changes: Any) -> RefundDue:
    defaults: Mapping[str, Any] = {"refund_id": uuid.uuid4(), "item_id": None, "currency": "HKD", "reason": "refused"}
    return RefundDue(**{"renewal_id": renewal_id, "amount_minor": amount_minor, **defaults, **changes})


MakeWorld = Callable[[], World]

"""The application service put together for a test: a real database, its HTTP app, its consumer, a clock to turn."""

import base64
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from werkzeug.test import TestResponse

from services.application import api, handlers, importing, reminders, slack, work
from services.application.eligibility import Limits
from services.application.main import build_app
from services.application.reminders import Schedules
from services.application.safe_start import LeadTimes
from shared.events.base import Event
from shared.events.issuance import (
    CancellationDeclined,
    CertificateIssued,
    CSRReceived,
    IssuanceDelayed,
    IssuanceRefused,
    IssuanceWithheld,
    Obstacle,
)
from shared.events.payment import PaymentCaptured, PaymentExpired, PaymentRefunded
from shared.messaging.applier import Applier
from shared.messaging.record import Record
from shared.runtime.service import applier
from shared.tx import transaction
from shared.vocabulary import ItemId, RenewalId
from tests.support import builders
from tests.support.builders import AR
from tests.support.world import BaseWorld

WWW: Final = "0002310001"
EVIDENCE_MARGIN: Final = timedelta(days=30)
LIMITS: Final = Limits(evidence_margin=EVIDENCE_MARGIN, opens_days=90)
LEAD: Final = LeadTimes(printing=1, mail=2, csr=2, validation=10, margin=3)
SCHEDULES: Final = Schedules(period=(90, 60, 30, 14, 7, 1), certificate=(14, 7, 3, 1))
WILDCARD: Final = "0002310002"
MULTI: Final = "0002310003"
ROWS: Final = (
    builders.subscription_row(WWW),
    builders.subscription_row(
        WILDCARD, product="wildcard", server_names=["*.shop.harbourlights.example.hk"], additional_servers=1
    ),
    builders.subscription_row(
        MULTI,
        product="multi-domain",
        server_names=["mail.harbourlights.example.hk", "vpn.harbourlights.example.hk"],
    ),
)


@dataclass
class Renewal:
    """A renewal as the test knows it."""

    id: RenewalId
    items: list[dict[str, Any]]
    document: bytes
    amount_minor: int

    def item_id(self, position: int) -> ItemId:
        return ItemId(uuid.UUID(self.items[position]["item_id"]))


@dataclass(kw_only=True)
class World(BaseWorld):
    """One application service, and the AR who uses it."""

    ar: AR = field(default_factory=AR)
    keys_used: int = 0
    # Claims of access tokens and of attestations about the times of verification, where a test wants others.
    signed_in_with: dict[str, Any] = field(default_factory=dict)
    attested_with: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        key = builders.signing_key("application")
        self.app = build_app(
            self.pool,
            builders.key_set("identity"),
            builders.FINGERPRINTS,
            api.Deps(key=key, jwks={"keys": [key.jwk()]}, limits=LIMITS, lead=LEAD),
            clock=self.clock,
        )
        self.http = self.app.test_client()

    def applier(self) -> Applier:
        return applier("application", handlers.subscriptions(), clock=self.clock)

    def enrol(self, rows: Iterable[dict[str, Any]], folder: Path) -> None:
        file = folder / "subscriptions.json"
        file.write_text(json.dumps({"subscriptions": list(rows)}))
        importing.import_file(self.pool, file, "test")

    def get(self, path: str, ar: AR | None = None) -> TestResponse:
        return self.http.get(f"/application/v1{path}", headers=self._headers(ar))

    def post(self, path: str, body: Any = None, *, ar: AR | None = None, key: str | None = None) -> TestResponse:
        self.keys_used += 1
        headers = self._headers(ar) | {"Idempotency-Key": key or f"test-key-{self.keys_used}"}
        return self.http.post(f"/application/v1{path}", headers=headers, json=body)

    def _headers(self, ar: AR | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {(ar or self.ar).access_token(self.now, **self.signed_in_with)}"}

    def draft(self, *srns: str, ar: AR | None = None, **more: Any) -> Renewal:
        answer = self.post("/renewals", {"items": [{"srn": srn, **more} for srn in srns or (WWW,)]}, ar=ar)
        assert answer.status_code == 201, answer.text
        return self.known(body(answer)["id"], ar=ar)

    def known(self, renewal_id: str, ar: AR | None = None) -> Renewal:
        document = self.get(f"/renewals/{renewal_id}/document", ar=ar).data
        content = json.loads(document)
        return Renewal(
            id=RenewalId(uuid.UUID(renewal_id)),
            items=content["items"],
            document=document,
            amount_minor=content["fee"]["amount_minor"],
        )

    def submit(
        self, renewal: Renewal, *, ar: AR | None = None, attestation: str | None = None, key: str | None = None
    ) -> TestResponse:
        given = attestation or (ar or self.ar).attestation(renewal.id, renewal.document, self.now, **self.attested_with)
        return self.post(f"/renewals/{renewal.id}/submission", {"attestation": given}, ar=ar, key=key)

    def submitted(self, *srns: str) -> Renewal:
        renewal = self.draft(*srns)
        assert self.submit(renewal).status_code == 200
        return renewal

    def paid(self, *srns: str) -> Renewal:
        renewal = self.submitted(*srns)
        self.apply(self.captured(renewal))
        assert self.state(renewal) == "awaiting-csrs"
        return renewal

    def cancel(self, renewal: Renewal, ar: AR | None = None) -> TestResponse:
        return self.post(f"/renewals/{renewal.id}/cancellation", ar=ar)

    def captured(self, renewal: Renewal, **changes: Any) -> PaymentCaptured:
        return builders.captured(
            renewal.id, renewal.document, changes.pop("amount_minor", renewal.amount_minor), self.now, **changes
        )

    def expired(self, renewal: Renewal) -> PaymentExpired:
        return PaymentExpired(renewal_id=renewal.id, reason="closed")

    def csr_received(self, renewal: Renewal, position: int = 0) -> CSRReceived:
        return CSRReceived(
            renewal_id=renewal.id,
            item_id=renewal.item_id(position),
            csr_sha256="c5" * 32,
            spki_sha256="5b" * 32,
            key_kind="rsa-2048",
        )

    def delayed(
        self, renewal: Renewal, *reasons: str, position: int = 0, kind: str = "validation", record: str | None = None
    ) -> IssuanceDelayed:
        """Return issuance's delay of an item, by an obstacle of each reason for its first server name."""
        name = renewal.items[position]["server_names"][0]
        return IssuanceDelayed(
            renewal_id=renewal.id,
            item_id=renewal.item_id(position),
            obstacles=tuple(Obstacle(server_name=name, kind=kind, reason=reason, record=record) for reason in reasons),
        )

    def opened(self, renewal: Renewal, position: int = 0) -> Event:
        return builders.opened(renewal.id, renewal.items[position])

    def issued(self, renewal: Renewal, position: int = 0, **changes: Any) -> CertificateIssued:
        return builders.issued(renewal.id, renewal.items[position], self.now, **changes)

    def refused(self, renewal: Renewal, position: int = 0) -> IssuanceRefused:
        return IssuanceRefused(renewal_id=renewal.id, item_id=renewal.item_id(position), reason="caa-forbids")

    def withheld(self, renewal: Renewal) -> IssuanceWithheld:
        return IssuanceWithheld(renewal_id=renewal.id)

    def declined(self, renewal: Renewal) -> CancellationDeclined:
        return CancellationDeclined(renewal_id=renewal.id)

    def refunded(self, renewal: Renewal, refund_id: uuid.UUID, amount_minor: int, **changes: Any) -> PaymentRefunded:
        values: dict[str, Any] = {"currency": "HKD", "refunded_at": self.now} | changes
        return PaymentRefunded(renewal_id=renewal.id, refund_id=refund_id, amount_minor=amount_minor, **values)

    def apply(self, *events: Event) -> list[Record]:
        """Apply each event in a batch of its own, so that events of different topics keep their order."""
        return [record for event in events for record in super(World, self).apply(event)]

    def pass_time(self, time: timedelta) -> None:
        """Turn the clock, then let every timer that is due fire."""
        self.now += time
        while work.fire_next_timer(self.pool, clock=self.clock):
            pass

    def look_at_slack(self) -> int:
        """Look at the slack of every renewal that is due. Returns how many looks there were."""
        looks = 0
        while slack.look_at_next(self.pool, LEAD, clock=self.clock):
            looks += 1
        return looks

    def remind(self) -> None:
        """Look at the reminders of every subscription that is due."""
        while reminders.remind_next(self.pool, LEAD, SCHEDULES, clock=self.clock):
            pass

    def shown(self, renewal: Renewal) -> dict[str, Any]:
        answer = self.get(f"/renewals/{renewal.id}")
        assert answer.status_code == 200, answer.text
        return dict(body(answer))

    def state(self, renewal: Renewal) -> str:
        return str(self.shown(renewal)["state"])

    def item_states(self, renewal: Renewal) -> list[str]:
        return [item["state"] for item in self.shown(renewal)["items"]]

    def course(self, renewal: Renewal) -> list[str]:
        return [step["event"] for step in self.shown(renewal)["timeline"]]

    def names(self, renewal: Renewal) -> list[str]:
        return [type(event).__name__ for event in self.announced(renewal.id)]

    def ignored(self, renewal: Renewal) -> list[str]:
        return [
            row[0]
            for row in self.rows(
                "SELECT details->>'why' FROM audit_log WHERE action = 'event-ignored' AND subject = %s ORDER BY id",
                str(renewal.id),
            )
        ]

    def change_subscription(self, srn: str, **changes: Any) -> None:
        """Change a subscription in the register."""
        with transaction(self.pool) as tx:
            for column, value in changes.items():
                tx.conn.execute(f"UPDATE subscriptions SET {column} = %s WHERE srn = %s".encode(), (value, srn))


def body(answer: TestResponse) -> Any:
    """Return the answer's JSON."""
    assert answer.is_json, answer.text
    return answer.json


def unsigned(token: str) -> str:
    """Return the token with another signature."""
    head, body, _ = token.split(".")
    return f"{head}.{body}.{base64.urlsafe_b64encode(bytes(64)).rstrip(b'=').decode()}"

"""Mailing put together for a test: a real database with both its roles, a mail server, keys, and a clock to turn."""

import base64
import email
import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from services.mailing import print_work, work
from services.mailing.domain import Help, Letter
from services.mailing.handlers import subscriptions
from services.mailing.letters.pin_envelope import DEFAULT_FONTS, Stationery
from services.mailing.mail_queue import Post
from services.mailing.mailer import MailServer, SMTPMailer
from services.mailing.messages import Composer
from services.mailing.print_key import PrintKey
from services.mailing.print_store import BatchRule
from services.mailing.print_work import Printer
from shared.db import Pool
from shared.events.application import (
    CertificateDelayed,
    CSRRequested,
    NotifiedObstacle,
    RefundDue,
    ReissueReminderDue,
    RenewalCancelled,
    RenewalCompleted,
    RenewalReminderDue,
)
from shared.events.base import Event
from shared.events.issuance import CertificateRevoked, PINEnvelopeSealed
from shared.messaging.applier import Applier
from shared.messaging.record import Record
from shared.runtime.service import applier
from shared.security.proofs import ProofKeys
from shared.security.tokens import TokenKind, sign
from shared.vocabulary import ARId, ItemId, Language, RenewalId, SubscriberId
from tests.integration.services.mailing.mail_server import MailServerFake
from tests.support.builders import AR, key_set, receipt, signing_key
from tests.support.world import BaseWorld
from tests.unit.services.mailing.letter import a_letter, a_print_key, seal, sealed_content

START: Final = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
HELP: Final = Help(telephone="2921 6633", email="enquiry@eCert.gov.hk")
PORTAL: Final = "https://portal.ecert.localhost"
SENDER: Final = "no-reply@ecert.localhost"
SUBSCRIBER: Final = "Example Limited 例子有限公司"


CHAN: Final = AR(
    id=ARId("ar-1"),
    subscriber_id=SubscriberId("s-1"),
    subscriber_name=SUBSCRIBER,
    email="chan@example.hk",
    address=("1 Queen's Road", "Hong Kong"),
)


@dataclass
class Renewal:
    """One renewal as other services announce it: a standard item and a multi-domain one, three letters."""

    identity_signer: str = "identity"
    payment_signer: str = "payment"
    ar: AR = CHAN
    id: RenewalId = field(default_factory=lambda: RenewalId(uuid.uuid4()))
    items: tuple[ItemId, ItemId] = field(default_factory=lambda: (ItemId(uuid.uuid4()), ItemId(uuid.uuid4())))
    language: Language = Language.ENGLISH

    def document(self, **changes: Any) -> str:
        items = [
            {
                "item_id": str(item),
                "reference": f"R26-0001-{number}",
                "product": product,
                "server_names": names,
                "srn": f"S{number}",
                "amount_minor": 250_000,
            }
            for number, (item, product, names) in enumerate(
                zip(
                    self.items,
                    ("standard", "multi-domain"),
                    (["www.example.hk"], ["a.example.hk", "b.example.hk"]),
                    strict=True,
                ),
                start=1,
            )
        ]
        content = {
            "purpose": "hk.ecert.renewal-application.v1",
            "renewal_id": str(self.id),
            "reference": "R26-0001",
            "nonce": "n",
            "language": self.language,
            "subscriber": {"id": "s-1", "name": SUBSCRIBER},
            "authorised_representative": {"id": self.ar.id, "name": self.ar.name},
            "items": items,
            "fee": {"amount_minor": 500_000, "currency": "HKD"},
        }
        return json.dumps(content | changes)

    def reissue(self) -> str:
        """Return the document of a reissue of the same items."""
        content = json.loads(self.document(purpose="hk.ecert.reissue-application.v1"))
        for item in content["items"]:
            item |= {"amount_minor": 0, "paid_until": "2027-01-07"}
        return json.dumps(content | {"fee": {"amount_minor": 0, "currency": "HKD"}})

    def reissue_requested(self, signer: str = "application") -> CSRRequested:
        """Return the request of a reissue, with application's entitlement or one that somebody else has signed."""
        document = self.reissue()
        claims = {"sub": str(self.id), "document_sha256": sha256(document.encode()).hexdigest()}
        return CSRRequested(
            renewal_id=self.id,
            language=self.language,
            document=document,
            attestation=self.ar.attestation(self.id, document.encode(), START),
            receipt=sign(claims, kind=TokenKind.ENTITLEMENT, key=signing_key(signer), now=START, issuer="application"),
        )

    def attestation(self, **changes: Any) -> str:
        return self.ar.attestation(self.id, self.document().encode(), START, key=self.identity_signer, **changes)

    def receipt(self, **changes: Any) -> str:
        amount_minor = changes.pop("amount_minor", 500_000)
        return receipt(self.id, self.document().encode(), amount_minor, START, key=self.payment_signer, **changes)

    def csr_requested(self, **changes: Any) -> CSRRequested:
        event = CSRRequested(
            renewal_id=self.id,
            language=self.language,
            document=self.document(),
            attestation=self.attestation(),
            receipt=self.receipt(),
        )
        return replace(event, **changes)

    def letter(self, server_name: str = "www.example.hk", **changes: Any) -> Letter:
        item = self.items[0] if server_name == "www.example.hk" else self.items[1]
        values = {
            "renewal_id": self.id,
            "item_id": item,
            "envelope_id": uuid.uuid5(self.id, server_name),
            "server_name": server_name,
        }
        return a_letter(**values | changes)

    def sealed(self, server_name: str = "www.example.hk", **changes: Any) -> PINEnvelopeSealed:
        return sealed_event(self.letter(server_name, **changes))

    def delayed(self, *obstacles: tuple[str, str, str], item: int = 1) -> CertificateDelayed:
        """Return the delay of an item by its number, by obstacles given as server name, kind and reason."""
        return CertificateDelayed(
            renewal_id=self.id,
            item_id=self.items[item],
            obstacles=tuple(NotifiedObstacle(server_name=n, kind=k, reason=r) for n, k, r in obstacles),
            until=START + timedelta(days=90),
        )

    def reminded(self, days_before: int = 30, **changes: Any) -> RenewalReminderDue:
        """Return a reminder of the multi-domain item's period, which ends so many days from the start."""
        event = RenewalReminderDue(
            renewal_id=self.id,
            item_id=self.items[1],
            srn="0002310001",
            serial="5d45e3a9",
            paid_until=date(2026, 12, 23),
            days_before=days_before,
            latest_safe_start=date(2026, 11, 25),
        )
        return replace(event, **changes)

    def reissue_reminded(self, days_before: int = 14, **changes: Any) -> ReissueReminderDue:
        """Return a reminder of the end of the multi-domain item's certificate, so many days from the start."""
        event = ReissueReminderDue(
            renewal_id=self.id,
            item_id=self.items[1],
            srn="0002310001",
            serial="5d45e3a9",
            certificate_until=date(2026, 12, 7),
            paid_until=date(2027, 6, 30),
            days_before=days_before,
        )
        return replace(event, **changes)

    def revoked(self, reason: str = "superseded", **changes: Any) -> CertificateRevoked:
        """Return the revocation of the first item's certificate by an AR."""
        event = CertificateRevoked(
            renewal_id=self.id,
            item_id=self.items[0],
            serial="0a1b2c",
            reason=reason,
            revoked_at=START + timedelta(days=30),
            revoked_by="representative",
        )
        return replace(event, **changes)

    def completed(self) -> RenewalCompleted:
        return RenewalCompleted(renewal_id=self.id, issued=self.items[:1], refused=self.items[1:])

    def cancelled(self, reason: str = "cancelled", **changes: Any) -> RenewalCancelled:
        event = RenewalCancelled(
            renewal_id=self.id, reason=reason, document=self.document(), attestation=self.attestation()
        )
        return replace(event, **changes)

    def refund_due(self, item: int | None = None, cause: str | None = None) -> RefundDue:
        """Return the refund of one item by its number, or of all."""
        return RefundDue(
            renewal_id=self.id,
            refund_id=uuid.uuid5(self.id, str(item)),
            item_id=None if item is None else self.items[item],
            amount_minor=500_000 if item is None else 250_000,
            currency="HKD",
            reason="cancelled" if item is None else "refused",
            cause=cause,
        )


def sealed_event(letter: Letter) -> PINEnvelopeSealed:
    """Return a letter as issuance seals and announces it."""
    return PINEnvelopeSealed(
        renewal_id=letter.renewal_id,
        item_id=letter.item_id,
        envelope_id=letter.envelope_id,
        server_name=letter.server_name,
        sealed=base64.b64encode(seal(sealed_content(letter), a_print_key()[1])).decode(),
    )


@dataclass(kw_only=True)
class World(BaseWorld):
    """One mailing service with its mail server and its print process."""

    print_pool: Pool
    server: MailServerFake
    posting: Path
    rule: BatchRule = field(default_factory=lambda: BatchRule(size=100, age=timedelta(minutes=1)))
    kept: timedelta = timedelta()
    now: datetime = START

    def renewal(self, language: Language = Language.ENGLISH) -> Renewal:
        return Renewal(language=language)

    def pass_time(self, **by: float) -> None:
        self.now += timedelta(**by)

    def record(self, event: Event, traceparent: str | None = None) -> Record:
        """Return the event's next record, as its publisher's relay would send it."""
        return self.publisher.record(event, now=self.now, traceparent=traceparent)

    def applier(self) -> Applier:
        keys = ProofKeys(identity=key_set("identity"), application=key_set("application"), payment=key_set("payment"))
        post = Post(domain="ecert.localhost", portal=PORTAL)
        return applier("mailing", subscriptions(keys=keys, post=post), clock=self.clock)

    def send(self) -> bool:
        mailer = SMTPMailer(MailServer.parse(f"smtp://127.0.0.1:{self.server.port}"), SENDER, timeout=3)
        composer = Composer(Address("Hongkong Post CA", addr_spec=SENDER), HELP)
        return work.send_next(self.pool, mailer, composer, lease=timedelta(seconds=30), clock=self.clock)

    def printer(self) -> Printer:
        return Printer(
            key=PrintKey(*a_print_key()),
            stationery=Stationery(fonts=DEFAULT_FONTS, help=HELP, portal=PORTAL),
            folder=self.posting,
            rule=self.rule,
            kept=self.kept,
        )

    def print_all(self) -> int:
        count = 0
        while print_work.print_next(self.print_pool, self.printer(), clock=self.clock):
            count += 1
        return count

    def close(self) -> bool:
        return print_work.close_next(self.print_pool, self.printer(), clock=self.clock)

    def erase_all(self) -> int:
        count = 0
        while print_work.erase_next(self.print_pool, self.printer(), clock=self.clock):
            count += 1
        return count

    def letters(self) -> list[Path]:
        return sorted(self.posting.rglob("*.pdf"))

    def send_all(self) -> list[EmailMessage]:
        """Let time pass and send what is due; what the mail server took of it, oldest first."""
        before = len(self.server.taken)
        self.pass_time(minutes=2)
        while self.send():
            pass
        return [parse(message) for message in self.server.taken[before:]]

    def mail_states(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT template, state FROM mails ORDER BY queued_at, template")

    def envelope_states(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT state FROM pin_envelopes ORDER BY server_name")]


def parse(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text_of(message: EmailMessage) -> str:
    """Return the text part, on one line."""
    body = message.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())


__all__ = ["START", "Renewal", "World", "sealed_event"]

"""Builders with good defaults for tests of more than one service: ARs, tokens, renewals, events as records."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.events.base import Envelope, Event
from shared.events.issuance import CertificateIssued, OrderOpened
from shared.events.payment import PaymentCaptured
from shared.messaging import codec
from shared.messaging.record import Record
from shared.security.tokens import KeySet, SigningKey, TokenKind, sign, thumbprint
from shared.vocabulary import ARId, ItemId, RenewalId, SubscriberId
from shared.web.idempotency import FingerprintKey

# Noon of a Monday in Hong Kong.
NOW: Final = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
FINGERPRINTS: Final = FingerprintKey(b"a secret of thirty-two bytes or more")
_CHAN: Final = ARId("ar-chan")
_HARBOUR: Final = SubscriberId("sub-harbour")
_NAMESPACE: Final = uuid.UUID("6f1a2f0e-2e0c-4d8e-9f5b-0f6f6e6b7a11")


@cache
def signing_key(owner: str) -> SigningKey:
    """Return the owner's test key, the same throughout a run: "identity", "payment", or any stranger."""
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key=key, kid=thumbprint(key.public_key()))


def key_set(owner: str) -> KeySet:
    """Return the owner's public key as readers hold it."""
    return KeySet.parse({"keys": [signing_key(owner).jwk()]})


@dataclass(frozen=True, kw_only=True)
class AR:
    """An Authorised Representative as identity knows them."""

    id: ARId = _CHAN
    name: str = "CHAN Tai Man 陳大文"
    subscriber_id: SubscriberId = _HARBOUR
    subscriber_name: str = "Harbour Lights Limited 海港燈火有限公司"
    certificate_sha256: str = "c1" * 32
    email: str = "chan@harbourlights.example.hk"
    address: tuple[str, ...] = ("Flat 8, 12/F", "1 Queen's Road Central", "Hong Kong")

    def access_token(self, now: datetime = NOW, **changes: Any) -> str:
        """Return identity's answer to a sign-in."""
        claims = {
            "sub": self.id,
            "subscriber_id": self.subscriber_id,
            "certificate_sha256": self.certificate_sha256,
            "role": "ar",
            **verified(now),
        }
        key = signing_key("identity")
        return sign(claims | changes, kind=TokenKind.ACCESS, key=key, now=now, issuer="identity")

    def ticket(self, renewal_id: RenewalId, document: bytes, now: datetime = NOW, *, key: str = "application") -> str:
        """Return application's draft ticket: the document is this AR's draft."""
        claims = {
            "sub": self.id,
            "subscriber_id": self.subscriber_id,
            "renewal_id": str(renewal_id),
            "document_sha256": hashlib.sha256(document).hexdigest(),
        }
        return sign(claims, kind=TokenKind.DRAFT_TICKET, key=signing_key(key), now=now, issuer="application")

    def attestation(
        self, renewal_id: RenewalId, document: bytes, /, now: datetime = NOW, *, key: str = "identity", **changes: Any
    ) -> str:
        """Return identity's attestation that this AR signed the document."""
        claims = {
            "sub": self.id,
            "jti": str(uuid.uuid4()),
            "renewal_id": str(renewal_id),
            "document_sha256": hashlib.sha256(document).hexdigest(),
            "certificate_sha256": self.certificate_sha256,
            "subscriber": {"id": self.subscriber_id, "name": self.subscriber_name, "country": "HK"},
            "ar": {"id": self.id, "name": self.name, "email": self.email, "address": list(self.address)},
            **verified(now),
        }
        return sign(claims | changes, kind=TokenKind.ATTESTATION, key=signing_key(key), now=now, issuer="identity")


def verified(now: datetime) -> dict[str, str]:
    """Return identity's claims about an organisation and an authority that were verified a month ago."""
    at = (now - timedelta(days=30)).isoformat()
    return {"organisation_verified_at": at, "authority_verified_at": at}


def receipt(
    renewal_id: RenewalId,
    document: bytes,
    /,
    amount_minor: int,
    now: datetime = NOW,
    *,
    payment_id: uuid.UUID | None = None,
    key: str = "payment",
    **changes: Any,
) -> str:
    """Return payment's signed receipt of a capture."""
    claims = {
        "sub": str(renewal_id),
        "payment_id": str(payment_id or uuid.uuid5(_NAMESPACE, str(renewal_id))),
        "amount_minor": amount_minor,
        "currency": "HKD",
        "document_sha256": hashlib.sha256(document).hexdigest(),
        "captured_at": now.isoformat(),
        "provider_reference": "sandbox-1",
        "payer_name": "Harbour Lights Limited",
    }
    return sign(claims | changes, kind=TokenKind.RECEIPT, key=signing_key(key), now=now, issuer="payment")


def captured(
    renewal_id: RenewalId, document: bytes, amount_minor: int, now: datetime = NOW, **changes: Any
) -> PaymentCaptured:
    """Return the renewal's payment, as payment announces it."""
    values: dict[str, Any] = {
        "payment_id": uuid.uuid5(_NAMESPACE, str(renewal_id)),
        "amount_minor": amount_minor,
        "currency": "HKD",
        "captured_at": now,
    } | changes
    values.setdefault("receipt", receipt(renewal_id, document, amount_minor, now, payment_id=values["payment_id"]))
    return PaymentCaptured(renewal_id=renewal_id, **values)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of a document."""

    id: ItemId = field(default_factory=lambda: ItemId(uuid.uuid4()))
    reference: str = "E-ABCDEFGHIJ"
    srn: str = "0002310001"
    product: str = "standard"
    server_names: tuple[str, ...] = ("www.harbourlights.example.hk",)
    additional_servers: int = 0
    current_serial: str = "0a1b"
    amount_minor: int = 250_000


def document(renewal_id: RenewalId, items: Sequence[Item], ar: AR | None = None, **changes: Any) -> bytes:
    """Return the signed document of a renewal, as application writes it."""
    signer = ar or AR()
    content = {
        "purpose": "hk.ecert.renewal-application.v1",
        "renewal_id": str(renewal_id),
        "reference": "R-ABCDEFGHIJ",
        "nonce": uuid.uuid5(_NAMESPACE, str(renewal_id)).hex,
        "language": "en",
        "created_at": "2026-11-23T04:00:00Z",
        "subscriber": {"id": signer.subscriber_id, "name": signer.subscriber_name},
        "authorised_representative": {"id": signer.id, "name": signer.name},
        "items": [
            {
                "item_id": str(item.id),
                "reference": item.reference,
                "srn": item.srn,
                "product": item.product,
                "server_names": list(item.server_names),
                "additional_servers": item.additional_servers,
                "current_serial": item.current_serial,
                "amount_minor": item.amount_minor,
            }
            for item in items
        ],
        "fee": {"amount_minor": sum(item.amount_minor for item in items), "currency": "HKD"},
        "declarations": ["The information in this application is correct and complete."],
        "terms": {"version": "2026-11", "sha256": "00" * 32},
    }
    return rfc8785.dumps(content | changes)


def certificate(
    *names: str,
    not_before: datetime | None = None,
    not_after: datetime = NOW + timedelta(days=45),
    serial: int | None = None,
    common_name: str | None = None,
) -> x509.Certificate:
    """Return a server certificate of these names, signed by itself."""
    key = _certificate_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or names[0][:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before or not_after - timedelta(days=199))
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )


@cache
def _certificate_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(made: x509.Certificate) -> str:
    """Return a certificate as PEM."""
    return made.public_bytes(serialization.Encoding.PEM).decode()


def subscription_row(srn: str = "0002310001", ar: AR | None = None, **changes: Any) -> dict[str, Any]:
    """Return a subscription as application's `import` reads it from JSON."""
    owner = ar or AR()
    names = changes.get("server_names", ["www.harbourlights.example.hk"])
    not_after = changes.pop("not_after", NOW + timedelta(days=45))
    row = {
        "srn": srn,
        "subscriber_id": owner.subscriber_id,
        "subscriber_name": owner.subscriber_name,
        "ar_id": owner.id,
        "ar_name": owner.name,
        "product": "standard",
        "server_names": names,
        "additional_servers": 0,
        "standing": "active",
    } | changes
    row.setdefault("certificate", pem(certificate(*names, not_after=not_after)))
    return row


def opened(renewal_id: RenewalId, item: Mapping[str, Any]) -> OrderOpened:
    """Return issuance's order for one item of a document."""
    return OrderOpened(
        renewal_id=renewal_id,
        item_id=ItemId(uuid.UUID(item["item_id"])),
        reference=item["reference"],
        srn=item["srn"],
        product=item["product"],
        server_names=tuple(item["server_names"]),
    )


def issued(renewal_id: RenewalId, item: Mapping[str, Any], now: datetime = NOW, **changes: Any) -> CertificateIssued:
    """Return issuance's certificate for one item of a document."""
    made = certificate(*item["server_names"], not_after=now + timedelta(days=199))
    values: dict[str, Any] = {
        "item_id": ItemId(uuid.UUID(item["item_id"])),
        "srn": item["srn"],
        "serial": f"{made.serial_number:x}",
        "server_names": tuple(item["server_names"]),
        "not_before": made.not_valid_before_utc,
        "not_after": made.not_valid_after_utc,
        "certificate_sha256": made.fingerprint(hashes.SHA256()).hex(),
        "certificate": pem(made),
    }
    return CertificateIssued(renewal_id=renewal_id, **values | changes)


@dataclass
class Publisher:
    """Makes the Kafka records that the publishers' relays would have sent, numbered per topic and key."""

    sequences: Counter[tuple[str, str]] = field(default_factory=Counter)
    offset: int = 0

    def record(
        self, event: Event, *, now: datetime = NOW, sequence: int | None = None, traceparent: str | None = None
    ) -> Record:
        """Return the event's record; the next of its topic and key unless a sequence is given."""
        return self.record_of(replace(self.envelope(event, now, sequence), traceparent=traceparent))

    def envelope(self, event: Event, now: datetime, sequence: int | None = None) -> Envelope:
        """Return the event's envelope; the next of its topic and key unless a sequence is given."""
        key = str(event.subject)
        if sequence is None:
            self.sequences[(event.TOPIC, key)] += 1
            sequence = self.sequences[(event.TOPIC, key)]
        return Envelope(
            id=uuid.uuid5(_NAMESPACE, f"{event.TOPIC}/{key}/{sequence}"),
            source=f"/{event.TOPIC.partition('.')[0]}",
            type=event.TYPE,
            topic=event.TOPIC,
            subject=key,
            sequence=sequence,
            time=now,
            data=codec.encode_data(event),
            dataschema=codec.schema_name(event.TYPE),
        )

    def record_of(self, envelope: Envelope) -> Record:
        """Return an envelope as Kafka hands it out, with the next offset."""
        self.offset += 1
        return Record(
            topic=envelope.topic,
            partition=uuid.UUID(envelope.subject).int % 12,
            offset=self.offset,
            key=envelope.key,
            headers=tuple(codec.to_headers(envelope)),
            value=envelope.data,
        )

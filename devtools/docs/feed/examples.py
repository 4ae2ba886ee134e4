"""Example records of the feed: signed events of invented renewals, for readers to test a verifier on."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.events.base import Envelope, RenewalEvent, Topic
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CertificateRevoked,
    CSRReceived,
    IssuanceDelayed,
    IssuanceRefused,
    IssuanceWithheld,
    Obstacle,
    OrderOpened,
    PINReissued,
    PINVoided,
)
from shared.messaging import codec, feed_signature
from shared.security.tokens import SigningKey, thumbprint
from shared.vocabulary import ItemId, Product, RenewalId

# The key of RFC 7515, appendix A.3, whose private half is public. Nothing real is signed with it.
_PUBLISHED: Final = 0x8E9B109E719098BF980487DF1F5D77E9CB29606EBED2263B5F57C213DF84F4B2
_FIRST_POSITION: Final = 1041
_BEGAN: Final = datetime(2026, 11, 23, 4, 5, 6, 789012, tzinfo=UTC)
_CERTIFICATE: Final = Path(__file__).with_name("example.pem")


def key() -> SigningKey:
    """Return the signing key of the examples."""
    private = ec.derive_private_key(_PUBLISHED, ec.SECP256R1())
    return SigningKey(key=private, kid=thumbprint(private.public_key()))


def records() -> list[Envelope]:
    """Return one record of each type of the feed, in order of position."""
    sequences: dict[str, int] = {}
    found = []
    for number, event in enumerate(_events()):
        subject = str(event.renewal_id)
        sequences[subject] = sequences.get(subject, 0) + 1
        plain = Envelope(
            id=_id(f"event {number}"),
            source="/issuance",
            type=event.TYPE,
            topic=Topic.ISSUANCE,
            subject=subject,
            sequence=sequences[subject],
            time=_BEGAN + number * timedelta(minutes=7, microseconds=1234),
            data=codec.encode_data(event),
            dataschema=codec.schema_name(event.TYPE),
            causationid=_id(f"cause {number}").hex,
            position=_FIRST_POSITION + number,
        )
        found.append(replace(plain, signature=feed_signature.sign(plain, key())))
    return found


def messages() -> Mapping[str, Mapping[str, Any]]:
    """Return headers and payload of each record by type, as AsyncAPI documents show them."""
    return {
        record.type: {
            "headers": {name: value.decode() for name, value in codec.to_headers(record)},
            "payload": msgspec.json.decode(record.data),
        }
        for record in records()
    }


def _events() -> list[RenewalEvent]:
    renewal, item = RenewalId(_id("renewal")), ItemId(_id("item"))
    names = ("www.harbourlights.example.hk",)
    certificate, day = x509.load_pem_x509_certificate(_CERTIFICATE.read_bytes()), timedelta(days=1)
    serial = f"{certificate.serial_number:x}"
    return [
        OrderOpened(
            renewal_id=renewal,
            item_id=item,
            reference="E-7K3M9PQRTV",
            srn="0002310001",
            product=Product.STANDARD,
            server_names=names,
        ),
        PINVoided(renewal_id=renewal, item_id=item, envelope_id=_id("lost"), server_name=names[0], reason="lost"),
        PINReissued(
            renewal_id=renewal, item_id=item, envelope_id=_id("new"), server_name=names[0], replaces=_id("lost")
        ),
        CSRReceived(
            renewal_id=renewal,
            item_id=item,
            csr_sha256="5f0c" * 16,
            spki_sha256="a94f" * 16,
            key_kind="ec-p256",
        ),
        CertificateIssued(
            renewal_id=renewal,
            item_id=item,
            srn="0002310001",
            serial=serial,
            server_names=names,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            certificate_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            certificate=_CERTIFICATE.read_text("utf-8"),
        ),
        CertificateAccepted(renewal_id=renewal, item_id=item, serial=serial, accepted_at=_BEGAN + day),
        CertificateRevoked(
            renewal_id=renewal, item_id=item, serial=serial, reason="superseded", revoked_at=_BEGAN + 90 * day
        ),
        IssuanceDelayed(
            renewal_id=RenewalId(_id("delayed")),
            item_id=ItemId(_id("delayed item")),
            obstacles=(
                Obstacle(
                    server_name="www.example.hk",
                    kind="caa",
                    reason="caa-other-issuer",
                    record='example.hk CAA 0 issue "ca.example.net"',
                ),
            ),
        ),
        IssuanceRefused(renewal_id=RenewalId(_id("refused")), item_id=ItemId(_id("refused item")), reason="lint"),
        IssuanceWithheld(renewal_id=RenewalId(_id("cancelled"))),
        CancellationDeclined(renewal_id=RenewalId(_id("too late"))),
    ]


def _id(name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:ecert:example:{name}")

"""Certificate revocation list: its entries, its validity, and its to-be-signed bytes (RFC 5280, BR 7.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from asn1crypto import algos, core
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from services.issuance.ca.authority import IssuingCA

LIFETIME: Final = timedelta(days=7)
# Our certificates have no OCSP, so the BR require a new CRL at least every four days; ours is hourly.
INTERVAL: Final = timedelta(hours=1)
_MAX_NUMBER: Final = 2**159


class RevocationReason(StrEnum):
    """Reasons for revoking a certificate; certificateHold is never used."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


# Only the CA uses privilegeWithdrawn.
SUBSCRIBER_REASONS: Final = frozenset(RevocationReason) - {RevocationReason.PRIVILEGE_WITHDRAWN}
# A reason is only replaced by a graver one: relying parties must learn of a compromised key from the CRL.
GRAVITY: Final = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.AFFILIATION_CHANGED: 1,
    RevocationReason.SUPERSEDED: 1,
    RevocationReason.CESSATION_OF_OPERATION: 1,
    RevocationReason.PRIVILEGE_WITHDRAWN: 2,
    RevocationReason.KEY_COMPROMISE: 3,
}
_CODES: Final = {
    RevocationReason.KEY_COMPROMISE: "key_compromise",
    RevocationReason.AFFILIATION_CHANGED: "affiliation_changed",
    RevocationReason.SUPERSEDED: "superseded",
    RevocationReason.CESSATION_OF_OPERATION: "cessation_of_operation",
    RevocationReason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
}


@dataclass(frozen=True, kw_only=True)
class Revocation:
    """A revoked certificate."""

    serial: int
    revoked_at: datetime
    reason: RevocationReason
    not_after: datetime


def crl_tbs(
    revocations: Iterable[Revocation], *, number: int, this_update: datetime, ca: IssuingCA, algorithm: bytes
) -> bytes:
    """Return the to-be-signed bytes of CRL `number`, entries in order of serial.

    No entry is dated after the list: a revocation's time may come from a machine whose clock is ahead.
    """
    if not 0 < number < _MAX_NUMBER:
        raise ValueError("CRL number out of range")
    this_update = this_update.astimezone(UTC).replace(microsecond=0)
    entries = [_entry(r, this_update) for r in sorted(revocations, key=lambda r: r.serial)]
    fields = {
        "version": "v2",
        "signature": algos.SignedDigestAlgorithm.load(algorithm),
        "issuer": asn1_x509.Name.load(ca.subject),
        "this_update": asn1_x509.Time(name="utc_time", value=this_update),
        "next_update": asn1_x509.Time(name="utc_time", value=this_update + LIFETIME - timedelta(seconds=1)),
        "crl_extensions": _extensions(number, ca),
    }
    if entries:  # an empty list would be invalid DER: the field is absent then
        fields["revoked_certificates"] = asn1_crl.RevokedCertificates(entries)
    return bytes(asn1_crl.TbsCertList(fields).dump())


def assemble(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a CRL of these three parts, unchanged."""
    return bytes(
        asn1_crl.CertificateList(
            {
                "tbs_cert_list": asn1_crl.TbsCertList.load(tbs),
                "signature_algorithm": algos.SignedDigestAlgorithm.load(algorithm),
                "signature": core.OctetBitString(signature),
            }
        ).dump()
    )


def tbs_of(crl: bytes) -> bytes:
    """Return the to-be-signed part of a CRL, byte for byte."""
    return bytes(asn1_crl.CertificateList.load(crl, strict=True)["tbs_cert_list"].dump())


def shortened(crl: bytes, most: int) -> bytes:
    """Return the CRL with its first `most` entries; its signature is then wrong."""
    parsed = asn1_crl.CertificateList.load(crl)
    entries = parsed["tbs_cert_list"]["revoked_certificates"]
    if not entries or len(entries) <= most:
        return crl
    parsed["tbs_cert_list"]["revoked_certificates"] = asn1_crl.RevokedCertificates(list(entries)[:most])
    return bytes(parsed.dump())


def _extensions(number: int, ca: IssuingCA) -> list[asn1_crl.TBSCertListExtension]:
    values: list[x509.ExtensionType] = [
        x509.AuthorityKeyIdentifier(ca.key_identifier, None, None),
        x509.CRLNumber(number),
    ]
    return [
        asn1_crl.TBSCertListExtension(
            {"extn_id": value.oid.dotted_string, "extn_value": core.ParsableOctetString(value.public_bytes())}
        )
        for value in values
    ]


def _entry(revocation: Revocation, latest: datetime) -> asn1_crl.RevokedCertificate:
    moment = min(revocation.revoked_at.astimezone(UTC).replace(microsecond=0), latest)
    fields: dict[str, object] = {
        "user_certificate": revocation.serial,
        "revocation_date": asn1_x509.Time(name="utc_time", value=moment),
    }
    if code := _CODES.get(revocation.reason):  # unspecified is expressed by omitting the reason
        fields["crl_entry_extensions"] = [
            {"extn_id": "crl_reason", "critical": False, "extn_value": asn1_crl.CRLReason(code)}
        ]
    return asn1_crl.RevokedCertificate(fields)

"""Verification of the AR's signature: a strict profile of detached CMS SignedData (RFC 5652, CAdES baseline B-B).

One function without options. Everything outside the profile is refused; trust in the certificate is checked elsewhere
(certificates.py). asn1crypto, which is lazy and lenient, gets only bytes that der.py has accepted as DER, and all of
its exceptions are refusals.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asn1crypto import cms as asn1_cms
from asn1crypto import tsp  # noqa: F401  (teaches asn1crypto the signingCertificateV2 attribute)
from cryptography import x509

from services.identity import certificates, der, signing
from services.identity.refusals import CertificateFault, CertificateRefused, SignatureFault, SignatureRefused

MAX_BYTES: Final = 65_536
CLOCK_TOLERANCE: Final = timedelta(minutes=10)

_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_SIGNING_TIME: Final = "1.2.840.113549.1.9.5"
_SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
_ALGORITHM_PROTECTION: Final = "1.2.840.113549.1.9.52"
_REQUIRED: Final = frozenset({_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME, _SIGNING_CERTIFICATE_V2})

# asn1crypto has no exception of its own: malformed content raises any of these at the first access.
_ASN1_ERRORS: Final = (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class VerifiedSignature:
    """A valid signature by a certificate that is not validated yet."""

    certificate_der: bytes
    signing_time: datetime
    hash_name: str
    signature_algorithm: bytes

    @property
    def certificate(self) -> x509.Certificate:
        """The signer's certificate; not a field, since the parsing pool cannot pickle it."""
        return x509.load_der_x509_certificate(self.certificate_der)


@dataclass(frozen=True, kw_only=True)
class _Signed:
    """The parts of a SignedData, extracted from asn1crypto once; `attributes` are by dotted OID."""

    certificate: x509.Certificate
    certificate_der: bytes
    issuer: bytes
    serial: int
    hash_name: str
    signature_algorithm: bytes
    signed_bytes: bytes
    attributes: Mapping[str, Any]
    signature: bytes


def verify(signature: bytes, document: bytes, now: datetime) -> VerifiedSignature:
    """Verify a detached CMS signature over `document`, received at `now`. Raises SignatureRefused.

    Raises CertificateRefused if the signer's certificate has a wrongly encoded name, since its holder can act on it.
    """
    if len(signature) > MAX_BYTES:
        raise SignatureRefused(SignatureFault.TOO_LARGE)
    try:
        der.require(signature)
        signed = _take_apart(signature)
        signing_time = _check_attributes(signed, document)
    except der.NotDER as error:
        raise SignatureRefused(SignatureFault.NOT_DER) from error
    except CertificateRefused as error:
        if error.fault is CertificateFault.NAME_ENCODING:
            raise
        raise SignatureRefused(SignatureFault.MALFORMED) from error
    except _ASN1_ERRORS as error:
        raise SignatureRefused(SignatureFault.MALFORMED) from error
    signing.check(
        signed.certificate,
        signed.signature_algorithm,
        hash_name=signed.hash_name,
        signature=signed.signature,
        message=signed.signed_bytes,
    )
    if abs(now - signing_time) > CLOCK_TOLERANCE:
        raise SignatureRefused(SignatureFault.SIGNING_TIME)
    return VerifiedSignature(
        certificate_der=signed.certificate_der,
        signing_time=signing_time,
        hash_name=signed.hash_name,
        signature_algorithm=signed.signature_algorithm,
    )


def _take_apart(signature: bytes) -> _Signed:
    content_info = asn1_cms.ContentInfo.load(signature, strict=True)
    if content_info["content_type"].native != "signed_data":
        raise SignatureRefused(SignatureFault.NOT_SIGNED_DATA)
    signed_data = content_info["content"]
    certificate_der, issuer, serial = _only_certificate(signed_data)
    signer = _only_signer(signed_data)
    _check_content(signed_data)
    certificate = certificates.read(certificate_der)
    version = _check_signer_id(signer["sid"], issuer, serial, certificate)
    # RFC 5652 5.1: with plain content and an X.509 certificate the two versions are the same.
    if (signer["version"].native, signed_data["version"].native) != (version, version):
        raise SignatureRefused(SignatureFault.MALFORMED)
    hash_name = _hash_name(signed_data, signer)
    attributes, signed_bytes = _signed_attributes(signer)
    return _Signed(
        certificate=certificate,
        certificate_der=certificate_der,
        issuer=issuer,
        serial=serial,
        hash_name=hash_name,
        signature_algorithm=signer["signature_algorithm"].dump(),
        signed_bytes=signed_bytes,
        attributes=attributes,
        signature=signer["signature"].native,
    )


def _is_absent(field: Any) -> bool:
    return bool(field.dump() == b"")


def _only_certificate(signed_data: Any) -> tuple[bytes, bytes, int]:
    """Return the only certificate: its bytes, its issuer's name, its serial number."""
    certificates = signed_data["certificates"]
    if _is_absent(certificates) or len(certificates) != 1 or certificates[0].name != "certificate":
        raise SignatureRefused(SignatureFault.CERTIFICATES)
    if not _is_absent(signed_data["crls"]):
        raise SignatureRefused(SignatureFault.EXTRAS)
    certificate = certificates[0].chosen
    fields = certificate["tbs_certificate"]
    return certificate.dump(), fields["issuer"].dump(), fields["serial_number"].native


def _only_signer(signed_data: Any) -> Any:
    signers = signed_data["signer_infos"]
    if len(signers) != 1:
        raise SignatureRefused(SignatureFault.SIGNERS)
    signer = signers[0]
    if not _is_absent(signer["unsigned_attrs"]):
        raise SignatureRefused(SignatureFault.EXTRAS)
    if _is_absent(signer["signed_attrs"]):
        # Without them the signature is over the document itself, and the DER of another signature's attributes could be
        # presented as a signed document.
        raise SignatureRefused(SignatureFault.NO_SIGNED_ATTRIBUTES)
    as_received = signer.dump()
    if signer.copy().dump(force=True) != as_received:
        raise SignatureRefused(SignatureFault.NOT_DER)
    return signer


def _check_content(signed_data: Any) -> None:
    content = signed_data["encap_content_info"]
    if content["content_type"].native != "data":
        raise SignatureRefused(SignatureFault.CONTENT_TYPE)
    if not _is_absent(content["content"]):
        raise SignatureRefused(SignatureFault.NOT_DETACHED)


def _check_signer_id(sid: Any, issuer: bytes, serial: int, certificate: x509.Certificate) -> str:
    """Compare the signer identifier with the certificate. Returns the corresponding SignerInfo version."""
    if sid.name == "issuer_and_serial_number":
        if sid.chosen["issuer"].dump() == issuer and sid.chosen["serial_number"].native == serial:
            return "v1"
    elif sid.chosen.native == _key_identifier(certificate):
        return "v3"
    raise SignatureRefused(SignatureFault.SIGNER_MISMATCH)


def _key_identifier(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound as error:
        raise SignatureRefused(SignatureFault.SIGNER_MISMATCH) from error


def _hash_name(signed_data: Any, signer: Any) -> str:
    announced = [algorithm.dump() for algorithm in signed_data["digest_algorithms"]]
    used = signer["digest_algorithm"].dump()
    if announced != [used] or used not in signing.HASH_NAMES:
        raise SignatureRefused(SignatureFault.ALGORITHM)
    return signing.HASH_NAMES[used]


def _signed_attributes(signer: Any) -> tuple[Mapping[str, Any], bytes]:
    """Return each attribute's only value, and the signed bytes: the attributes tagged as a SET."""
    field = signer["signed_attrs"]
    if not der.is_sorted_set(list(der.elements(field.contents))):
        raise SignatureRefused(SignatureFault.NOT_DER)
    attributes: dict[str, Any] = {}
    for attribute in field:
        kind, values = attribute["type"].dotted, attribute["values"]
        if kind in attributes or len(values) != 1:
            raise SignatureRefused(SignatureFault.ATTRIBUTES)
        attributes[kind] = values[0]
    if not attributes.keys() >= _REQUIRED:
        raise SignatureRefused(
            SignatureFault.SIGNING_CERTIFICATE
            if _REQUIRED - attributes.keys() == {_SIGNING_CERTIFICATE_V2}
            else SignatureFault.ATTRIBUTES
        )
    # RFC 5652 5.4: signed as EXPLICIT SET OF, sent as IMPLICIT [0].
    return attributes, b"\x31" + field.dump()[1:]


def _check_attributes(signed: _Signed, document: bytes) -> datetime:
    """Compare the attributes with document and certificate. Returns the claimed signing time."""
    attributes = signed.attributes
    if attributes[_CONTENT_TYPE].native != "data":
        raise SignatureRefused(SignatureFault.CONTENT_TYPE)
    digest = hashlib.new(signed.hash_name, document).digest()
    if not hmac.compare_digest(attributes[_MESSAGE_DIGEST].native, digest):
        raise SignatureRefused(SignatureFault.MESSAGE_DIGEST)
    _check_signing_certificate(attributes[_SIGNING_CERTIFICATE_V2], signed)
    if _ALGORITHM_PROTECTION in attributes:
        _check_algorithm_protection(attributes[_ALGORITHM_PROTECTION], signed)
    return _signing_time(attributes[_SIGNING_TIME])


def _check_signing_certificate(value: Any, signed: _Signed) -> None:
    first = value["certs"][0]
    hash_name = signing.HASH_NAMES.get(first["hash_algorithm"].dump())
    if hash_name is None:
        raise SignatureRefused(SignatureFault.SIGNING_CERTIFICATE)
    expected = hashlib.new(hash_name, signed.certificate_der).digest()
    if not hmac.compare_digest(first["cert_hash"].native, expected):
        raise SignatureRefused(SignatureFault.SIGNING_CERTIFICATE)
    if not _is_absent(first["issuer_serial"]) and not _names(first["issuer_serial"], signed):
        raise SignatureRefused(SignatureFault.SIGNING_CERTIFICATE)


def _names(issuer_serial: Any, signed: _Signed) -> bool:
    names = issuer_serial["issuer"]
    return (
        len(names) == 1
        and names[0].name == "directory_name"
        and der.contents_of(names[0].dump()) == signed.issuer
        and issuer_serial["serial_number"].native == signed.serial
    )


def _check_algorithm_protection(value: Any, signed: _Signed) -> None:
    """Check that the protected algorithms are those that were used (RFC 6211)."""
    # [1] IMPLICIT on the wire; the identifier octet of a SEQUENCE makes the two comparable.
    protected = b"\x30" + value["signature_algorithm"].dump()[1:]
    if (
        signing.HASH_NAMES.get(value["digest_algorithm"].dump()) != signed.hash_name
        or protected != signed.signature_algorithm
        or not _is_absent(value["mac_algorithm"])
    ):
        raise SignatureRefused(SignatureFault.ALGORITHM_PROTECTION)


def _signing_time(value: Any) -> datetime:
    claimed = value.native
    # RFC 5652 11.3: UTCTime until 2049, so that each time has one encoding.
    if not isinstance(claimed, datetime) or (value.name == "utc_time") != (1950 <= claimed.year < 2050):
        raise SignatureRefused(SignatureFault.SIGNING_TIME)
    return claimed.astimezone(UTC)

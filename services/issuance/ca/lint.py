"""Lint before the CA's key is used: pkilint on the exact bytes to be signed, and our own checks."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.profiles import Leaf, SubjectRefused, assemble, check_organisation
from services.issuance.ca.signer import SoftwareSigner
from services.issuance.ca.validity_policy import MAX_VALIDITY_DAYS, Validity
from services.issuance.domain import Organisation

_STOPS: Final = {"FATAL", "ERROR", "WARNING", "NOTICE"}
# Finding code → reason for tolerating it. Every other finding at NOTICE or worse stops the certificate.
ALLOWED: Final[Mapping[str, str]] = {
    "cabf.serverauth.subscriber_rsa_digitalsignature_and_keyencipherment_present": (
        "both are permitted together (BR 7.1.2.7.11), and NSS 3.87 is reported to refuse RSA without keyEncipherment"
    )
}
_SUBJECT: Final = frozenset(
    {NameOID.COUNTRY_NAME, NameOID.STATE_OR_PROVINCE_NAME, NameOID.LOCALITY_NAME, NameOID.ORGANIZATION_NAME}
)
_FRESH: Final = timedelta(hours=48)


@dataclass(frozen=True)
class Finding:
    """A fault of the bytes to be signed."""

    severity: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code} {self.message}".rstrip()


def findings(tbs: bytes, leaf: Leaf, ca: IssuingCA, now: datetime, throwaway: SoftwareSigner) -> tuple[Finding, ...]:
    """Return the faults of these bytes, signed by a throwaway key: without one the certificate may be made."""
    certificate = assemble(tbs, throwaway.algorithm, throwaway.sign(tbs))
    try:
        return (
            *pkilint_findings(certificate),
            *_own_findings(x509.load_der_x509_certificate(certificate), leaf, ca, now),
        )
    except (ValueError, x509.ExtensionNotFound) as error:
        return (Finding("FATAL", "issuance.malformed", str(error)),)


def published_findings(certificate: bytes) -> tuple[Finding, ...]:
    """Return the faults of a signed certificate, without knowledge of its order."""
    try:
        signed = x509.load_der_x509_certificate(certificate)
        return (*pkilint_findings(certificate), *failed(_checks_of_any(signed)))
    except (ValueError, x509.ExtensionNotFound) as error:
        return (Finding("FATAL", "issuance.malformed", str(error)),)


def pkilint_findings(certificate: bytes) -> tuple[Finding, ...]:
    """Return pkilint's findings at NOTICE or worse, except allowed ones, on a certificate or a precertificate.

    Raises ValueError if it is neither.
    """
    return stopping(_linter(precertificate=is_precertificate(certificate))(certificate))


def is_precertificate(certificate: bytes) -> bool:
    """Return whether the certificate has the poison. Raises ValueError."""
    extensions = x509.load_der_x509_certificate(certificate).extensions
    return any(isinstance(each.value, x509.PrecertPoison) for each in extensions)


def stopping(results: Iterable[Any]) -> tuple[Finding, ...]:
    """Return those of pkilint's findings that forbid a signature."""
    return tuple(
        Finding(str(description.finding.severity), description.finding.code, description.message or "")
        for result in results
        for description in result.finding_descriptions
        if str(description.finding.severity) in _STOPS and description.finding.code not in ALLOWED
    )


def _own_findings(signed: x509.Certificate, leaf: Leaf, ca: IssuingCA, now: datetime) -> tuple[Finding, ...]:
    """Return faults that pkilint cannot know: whether the bytes are exactly what was ordered, now, from this CA."""
    names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lives = _lives(signed)
    checks = {
        **_checks_of_any(signed),
        "names_differ": list(names) == [x509.DNSName(name) for name in leaf.names],
        "key_differs": _spki(signed) == leaf.spki,
        "serial_differs": signed.serial_number == leaf.serial,
        "issuer_differs": signed.issuer.public_bytes() == ca.subject,
        "not_before_not_fresh": -timedelta(minutes=1) <= now - lives.not_before <= _FRESH,
        "subject_differs": _subject(signed) == leaf.organisation,
        "outlives_its_ca": lives.not_after <= ca.certificate.not_valid_after_utc,
        # The stricter of both days: bytes that waited for their signature are judged by the rules of that moment.
        "validity_too_long": lives.days <= min(MAX_VALIDITY_DAYS.at(lives.not_before), MAX_VALIDITY_DAYS.at(now)),
    }
    return failed(checks)


def _checks_of_any(signed: x509.Certificate) -> dict[str, bool]:
    """Return the checks that need no order: what we certify for nobody."""
    usages = list(signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    lives = _lives(signed)
    return {
        # Browsers forbid clientAuth from 2027-03-15 on (Chrome Root Program 1.3.2); we certify it at no time.
        "extended_key_usage": usages == [ExtendedKeyUsageOID.SERVER_AUTH],
        "common_name_not_in_san": _has_its_common_names_in_san(signed),
        "subject_refused": _has_certifiable_subject(signed),
        "validity_too_long": lives.days <= MAX_VALIDITY_DAYS.at(lives.not_before),
    }


def failed(checks: Mapping[str, bool]) -> tuple[Finding, ...]:
    """Return an error for each of our own checks that did not pass."""
    return tuple(Finding("ERROR", f"issuance.{name}", "") for name, passed in checks.items() if not passed)


def _lives(signed: x509.Certificate) -> Validity:
    return Validity(not_before=signed.not_valid_before_utc, not_after=signed.not_valid_after_utc)


def _spki(signed: x509.Certificate) -> bytes:
    return signed.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _subject(signed: x509.Certificate) -> Organisation:
    """Parse the certificate's subject from the bytes themselves. Raises ValueError for other attributes than ours."""
    found = {attribute.oid: str(attribute.value) for attribute in signed.subject}
    if len(found) != len(list(signed.subject)) or not found.keys() <= _SUBJECT:
        raise ValueError("the subject has other attributes than the profile")
    return Organisation(
        name=found.get(NameOID.ORGANIZATION_NAME, ""),
        country=found.get(NameOID.COUNTRY_NAME, ""),
        state_or_province=found.get(NameOID.STATE_OR_PROVINCE_NAME),
        locality=found.get(NameOID.LOCALITY_NAME),
    )


def _has_certifiable_subject(signed: x509.Certificate) -> bool:
    """Return whether the subject has our attributes alone and the rules for records accept it: pkilint does not detect
    invisible characters and placeholders.
    """
    try:
        check_organisation(_subject(signed))
    except (SubjectRefused, ValueError):
        return False
    return True


def _has_its_common_names_in_san(signed: x509.Certificate) -> bool:
    """Return whether each common name is a name of the certificate, character for character (BR 7.1.4.3). Ours have
    none.
    """
    common_names = {str(each.value) for each in signed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    if not common_names:
        return True
    names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return common_names <= {*names.get_values_for_type(x509.DNSName)}


@cache
def _linter(*, precertificate: bool) -> Callable[[bytes], Any]:
    """Return pkilint's checks for an organisation-validated leaf; loading takes most of a second, so once per process.

    Loaded here, not with the module: only the process that issues needs pkilint's memory.
    """
    from pkilint import finding_filter, loader
    from pkilint.cabf import serverauth
    from pkilint.cabf.serverauth.serverauth_constants import CertificateType
    from pkilint.pkix import certificate as pkix_certificate

    from services.issuance.ca.validator_index import indexed

    logging.getLogger("pkilint").setLevel(logging.CRITICAL)  # an exception in a check is a FATAL finding already
    kind = CertificateType.OV_PRE_CERTIFICATE if precertificate else CertificateType.OV_FINAL_CERTIFICATE
    container = pkix_certificate.create_pkix_certificate_validator_container(
        serverauth.create_decoding_validators(), serverauth.create_validators(kind)
    )
    validator, filters = indexed(container), serverauth.create_serverauth_finding_filters(kind)

    def run(certificate: bytes) -> Any:
        document = loader.load_der_certificate(certificate, "certificate", "certificate")
        return finding_filter.filter_results(filters, validator.validate(document.root))[0]

    return run


def warm_up() -> None:
    """Build the precertificates' linter now, so that the first one does not wait for it."""
    _linter(precertificate=True)

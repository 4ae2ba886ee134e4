"""Lint of a CRL before the CA's key is used: pkilint on its bytes, and our own checks."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509

from services.issuance.ca import crl, lint
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.lint import Finding
from services.issuance.ca.signer import SoftwareSigner

# pkilint takes about a millisecond for each entry; our own checks look at all of them.
_LINTED_ENTRIES: Final = 500
# Baseline Requirements 7.2: nextUpdate at most ten days after thisUpdate.
_MAX_LIFETIME: Final = timedelta(days=10)
_REASONS: Final = {
    x509.ReasonFlags.key_compromise,
    x509.ReasonFlags.affiliation_changed,
    x509.ReasonFlags.superseded,
    x509.ReasonFlags.cessation_of_operation,
    x509.ReasonFlags.privilege_withdrawn,
}


def findings(tbs: bytes, *, number: int, ca: IssuingCA, throwaway: SoftwareSigner) -> tuple[Finding, ...]:
    """Return the faults of these bytes, signed by a throwaway key: without one the CRL may be made."""
    signed = crl.assemble(tbs, throwaway.algorithm, throwaway.sign(tbs))
    try:
        return (*_own_findings(x509.load_der_x509_crl(signed), number, ca), *_pkilint_findings(signed))
    except (ValueError, x509.ExtensionNotFound) as error:
        return (Finding("FATAL", "issuance.malformed_crl", str(error)),)


def is_crl(der: bytes) -> bool:
    """Return whether these bytes are a CRL."""
    try:
        x509.load_der_x509_crl(der)
    except ValueError:
        return False
    return True


def published_findings(signed: bytes) -> tuple[Finding, ...]:
    """Return the faults of a signed CRL, without knowledge of its CA."""
    try:
        return (*lint.failed(_checks_of_any(x509.load_der_x509_crl(signed))), *_pkilint_findings(signed))
    except (ValueError, x509.ExtensionNotFound) as error:
        return (Finding("FATAL", "issuance.malformed_crl", str(error)),)


def _own_findings(signed: x509.CertificateRevocationList, number: int, ca: IssuingCA) -> tuple[Finding, ...]:
    identifier = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    checks = {
        **_checks_of_any(signed),
        "crl_number_differs": signed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number,
        "crl_issuer_differs": signed.issuer.public_bytes() == ca.subject,
        "crl_key_identifier_differs": identifier.key_identifier == ca.key_identifier,
    }
    return lint.failed(checks)


def _checks_of_any(signed: x509.CertificateRevocationList) -> dict[str, bool]:
    """Return the checks that need no CA."""
    entries = list(signed)
    serials = [entry.serial_number for entry in entries]
    ends = signed.next_update_utc
    return {
        "crl_lifetime": ends is not None and timedelta(0) < ends - signed.last_update_utc <= _MAX_LIFETIME,
        "crl_entry_after_the_list": all(entry.revocation_date_utc <= signed.last_update_utc for entry in entries),
        "crl_entries_not_in_order": all(one < next_ for one, next_ in itertools.pairwise(serials)),
        "crl_reason": all(_has_allowed_reason(entry) for entry in entries),
    }


def _has_allowed_reason(entry: x509.RevokedCertificate) -> bool:
    return all(
        isinstance(each.value, x509.CRLReason) and not each.critical and each.value.reason in _REASONS
        for each in entry.extensions
    )


def _pkilint_findings(signed: bytes) -> tuple[Finding, ...]:
    return lint.stopping(_linter()(crl.shortened(signed, _LINTED_ENTRIES)))


@cache
def _linter() -> Callable[[bytes], Any]:
    """Return pkilint's checks for a CRL; imported here, for only the process that issues needs pkilint's memory."""
    from pkilint import loader, pkix
    from pkilint.cabf import cabf_crl
    from pkilint.pkix import crl as pkix_crl
    from pkilint.pkix import extension, name

    kind = pkix_crl.CertificateRevocationListType.CRL
    container = pkix_crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            pkix_crl.create_issuer_validator_container([]),
            pkix_crl.create_validity_validator_container([cabf_crl.create_validity_period_validator(kind)]),
            pkix_crl.create_extensions_validator_container([]),
            cabf_crl.CabfCrlReasonCodeAllowlistValidator(kind),
        ],
    )
    return lambda signed: container.validate(loader.load_der_crl(signed, "crl", "crl").root)

"""CRLs as openssl and another parser read them."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.issuance.ca import crl, crl_lint
from services.issuance.ca.crl import Revocation, RevocationReason, crl_tbs
from services.issuance.ca.signer import throwaway_like
from tests.unit.services.issuance.pki import NOW, issuing_ca

GRAVE = RevocationReason.KEY_COMPROMISE
LATER = NOW + timedelta(days=100)


def revocation(serial: int, reason: RevocationReason = RevocationReason.UNSPECIFIED) -> Revocation:
    return Revocation(serial=serial, revoked_at=NOW, reason=reason, not_after=LATER)


def tbs_of(*revocations: Revocation, number: int = 7, kind: str = "rsa") -> bytes:
    ca, signer = issuing_ca(kind)
    return crl_tbs(revocations, number=number, this_update=NOW, ca=ca, algorithm=signer.algorithm)


def changed(*revocations: Revocation, reason: str | None = None, **fields: object) -> bytes:
    """Return to-be-signed bytes with these fields in place of the profile's; with one, the number alone is omitted."""
    tbs = asn1_crl.TbsCertList.load(tbs_of(*revocations, *([revocation(9, GRAVE)] if reason else [])))
    if reason:
        tbs["revoked_certificates"][0]["crl_entry_extensions"][0]["extn_value"] = asn1_crl.CRLReason(reason)
    for name, value in fields.items():
        if name == "crl_extensions":
            tbs[name] = list(tbs[name])[:value]  # type: ignore[index]
        elif name == "issuer":
            tbs[name] = asn1_x509.Name.build({"common_name": value})
        else:
            tbs[name] = asn1_x509.Time(name="utc_time", value=value)
    return bytes(tbs.dump(force=True))


def found(tbs: bytes) -> list[str]:
    ca, signer = issuing_ca()
    return [each.code for each in crl_lint.findings(tbs, number=7, ca=ca, throwaway=throwaway_like(signer))]


def signed(*revocations: Revocation, number: int = 7, kind: str = "rsa") -> bytes:
    _, signer = issuing_ca(kind)
    tbs = tbs_of(*revocations, number=number, kind=kind)
    der = crl.assemble(tbs, signer.algorithm, signer.sign(tbs))
    assert crl.tbs_of(der) == tbs
    return der


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("count", [0, 1, 300])
def test_crl_verifies_with_openssl(kind: str, count: int, tmp_path: Path) -> None:
    ca, _ = issuing_ca(kind)
    (tmp_path / "ca.pem").write_bytes(ca.certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "ca.crl").write_bytes(signed(*(revocation(2**130 + i) for i in range(count)), kind=kind))
    result = subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", "ca.crl", "-CAfile", "ca.pem", "-noout", "-crlnumber"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "verify OK" in result.stderr
    assert "0x07" in result.stdout


def test_crl_fields_are_those_of_the_standard() -> None:
    ca, _ = issuing_ca()
    parsed = x509.load_der_x509_crl(signed(revocation(5), number=2**100))
    assert parsed.issuer.public_bytes() == ca.subject
    assert parsed.next_update_utc is not None
    assert parsed.next_update_utc - parsed.last_update_utc < timedelta(days=7)
    assert parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2**100
    identifier = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert identifier.key_identifier == ca.key_identifier
    assert not any(one.critical for one in parsed.extensions)


@pytest.mark.parametrize("count", [0, 1, 700])
def test_linter_finds_nothing(count: int) -> None:
    revoked = [revocation(2**100 + i, [*RevocationReason][i % 6]) for i in range(count)]
    assert found(tbs_of(*revoked)) == []


FAULTS = {
    "another number": (lambda: tbs_of(number=8), {"issuance.crl_number_differs"}),
    "another CA": (lambda: changed(issuer="Another CA"), {"issuance.crl_issuer_differs"}),
    "a serial twice": (lambda: tbs_of(revocation(5), revocation(5)), {"issuance.crl_entries_not_in_order"}),
    "a year": (lambda: changed(next_update=NOW + timedelta(days=365)), {"issuance.crl_lifetime"}),
    "a date after the list": (
        lambda: changed(revocation(5), this_update=NOW - timedelta(seconds=2)),
        {"issuance.crl_entry_after_the_list"},
    ),
    "certificateHold": (lambda: changed(reason="certificate_hold"), {"issuance.crl_reason"}),
    "no number": (lambda: changed(crl_extensions=1), {"issuance.malformed_crl"}),
}


@pytest.mark.parametrize(("tbs", "codes"), FAULTS.values(), ids=FAULTS)
def test_linter_names_the_fault(tbs: Callable[[], bytes], codes: set[str]) -> None:
    assert codes <= set(found(tbs()))


def test_entry_is_never_dated_after_its_list() -> None:
    ahead = replace(revocation(5), revoked_at=NOW + timedelta(seconds=2))
    entry = x509.load_der_x509_crl(signed(ahead)).get_revoked_certificate_by_serial_number(5)
    assert entry is not None
    assert entry.revocation_date_utc == NOW.replace(microsecond=0)


def test_reasons_are_encoded_and_unspecified_is_omitted() -> None:
    parsed = x509.load_der_x509_crl(signed(*(revocation(i + 1, r) for i, r in enumerate(RevocationReason))))
    reasons = {}
    for serial, reason in enumerate(RevocationReason, start=1):
        entry = parsed.get_revoked_certificate_by_serial_number(serial)
        assert entry is not None
        found = [e.value.reason.value for e in entry.extensions if isinstance(e.value, x509.CRLReason)]
        reasons[reason] = found[0] if found else None
    assert reasons.pop(RevocationReason.UNSPECIFIED) is None
    assert all(said == reason.value for reason, said in reasons.items())


def test_subscriber_may_give_every_reason_but_those_of_the_ca() -> None:
    assert RevocationReason.PRIVILEGE_WITHDRAWN not in crl.SUBSCRIBER_REASONS
    assert len(crl.SUBSCRIBER_REASONS) == 5


def test_crl_number_has_its_range() -> None:
    for number in (0, 2**159):
        with pytest.raises(ValueError, match="CRL number"):
            signed(number=number)

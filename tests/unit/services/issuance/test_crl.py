"""CRLs as openssl and another parser read them."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pkilint import loader, pkix
from pkilint.cabf import cabf_crl
from pkilint.pkix import crl as pkix_crl
from pkilint.pkix import extension, name

from services.issuance.ca import crl
from services.issuance.ca.crl import Revocation, RevocationReason, crl_tbs
from tests.unit.services.issuance.pki import NOW, issuing_ca

LATER = NOW + timedelta(days=100)


def revocation(serial: int, reason: RevocationReason = RevocationReason.UNSPECIFIED) -> Revocation:
    return Revocation(serial=serial, revoked_at=NOW, reason=reason, not_after=LATER)


def signed(*revocations: Revocation, number: int = 7, kind: str = "rsa") -> bytes:
    ca, signer = issuing_ca(kind)
    tbs = crl_tbs(revocations, number=number, this_update=NOW, ca=ca, algorithm=signer.algorithm)
    der = crl.assemble(tbs, signer.algorithm, signer.sign(tbs))
    assert crl.tbs_of(der) == tbs
    return der


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("count", [0, 1, 300])
def test_the_crl_verifies_with_openssl(kind: str, count: int, tmp_path: Path) -> None:
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


def test_its_fields_are_those_the_standard_asks_for() -> None:
    ca, _ = issuing_ca()
    parsed = x509.load_der_x509_crl(signed(revocation(5), number=2**100))
    assert parsed.issuer.public_bytes() == ca.subject
    assert parsed.next_update_utc is not None
    assert parsed.next_update_utc - parsed.last_update_utc < timedelta(days=7)
    assert parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2**100
    identifier = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert identifier.key_identifier == ca.key_identifier
    assert not any(one.critical for one in parsed.extensions)


def test_pkilint_finds_nothing() -> None:
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
    document = loader.load_der_crl(signed(revocation(5, RevocationReason.KEY_COMPROMISE)), "crl", "crl")
    found = [d for result in container.validate(document.root) for d in result.finding_descriptions]
    assert [d for d in found if d.finding.severity <= 3] == []


def test_reasons_are_said_and_unspecified_is_left_out() -> None:
    parsed = x509.load_der_x509_crl(signed(*(revocation(i + 1, r) for i, r in enumerate(RevocationReason))))
    reasons = {}
    for serial, reason in enumerate(RevocationReason, start=1):
        entry = parsed.get_revoked_certificate_by_serial_number(serial)
        assert entry is not None
        found = [e.value.reason.value for e in entry.extensions if isinstance(e.value, x509.CRLReason)]
        reasons[reason] = found[0] if found else None
    assert reasons.pop(RevocationReason.UNSPECIFIED) is None
    assert all(said == reason.value for reason, said in reasons.items())


def test_a_subscriber_may_give_every_reason_but_the_cas_own() -> None:
    assert RevocationReason.PRIVILEGE_WITHDRAWN not in crl.SUBSCRIBER_REASONS
    assert len(crl.SUBSCRIBER_REASONS) == 5


def test_a_crl_number_has_its_range() -> None:
    for number in (0, 2**159):
        with pytest.raises(ValueError, match="CRL number"):
            signed(number=number)

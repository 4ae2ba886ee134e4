"""The test PKI is like the CA's where it matters, and as private."""

import contextlib
import shutil
import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from pkilint import finding_filter, loader
from pkilint.cabf import serverauth
from pkilint.pkix import certificate as pkix_certificate
from pkilint.validation import ValidationFindingSeverity

from deploy.local import crls, gateway_certificate, samples
from deploy.local import pki as local_pki
from deploy.local.people import POLICY_OIDS, SAMPLES, ECertClass, SampleECert
from deploy.local.pki import PKI
from services.identity import certificates
from services.identity.refusals import CertificateRefused
from services.issuance.ca.lint import pkilint_findings
from shared.pki import crls as believed_crls
from shared.pki.crls import CRLRefused
from shared.security.tokens import KeySet, SigningKey


def load(pki: PKI, sample: SampleECert) -> x509.Certificate:
    return x509.load_pem_x509_certificate((pki.people / f"{sample.file}.pem").read_bytes())


def test_private_files_are_readable_by_their_owner_only(pki: PKI) -> None:
    private = [*pki.folder.rglob("*.key"), *pki.folder.rglob("*.p12"), pki.pepper, pki.portal_sessions]
    assert len(private) > 20
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}


def test_trust_folders_contain_no_key(pki: PKI) -> None:
    assert not list(pki.client_trust.rglob("*.key"))


def test_second_creation_changes_no_key(pki: PKI, now: datetime) -> None:
    before = {file: file.read_bytes() for file in pki.folder.rglob("*") if file.suffix in (".key", ".pem", ".p12")}
    local_pki.create(pki, {}, now=now + timedelta(hours=1))
    assert all(file.read_bytes() == content for file, content in before.items())


def hosts_of(file: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )


def test_older_installation_gets_the_portals_keys_and_keeps_the_others(
    pki: PKI, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = PKI(tmp_path / "pki")
    shutil.copytree(pki.folder, old.folder)
    old.portal_sessions.unlink()
    with monkeypatch.context() as before:
        before.setattr(gateway_certificate, "GATEWAY_HOSTS", ("api.ecert.localhost", "signin.ecert.localhost"))
        (old.gateway / "tls.pem").unlink()
        local_pki.create(old, {}, now=now)
    old.portal_sessions.unlink()
    assert hosts_of(old.gateway / "tls.pem") == ["api.ecert.localhost", "signin.ecert.localhost"]
    gateway = {"root.pem", "tls.pem", "tls.key", "portal-session-keys"}
    before_it = {file: file.read_bytes() for file in old.folder.rglob("*.*") if file.name not in gateway}

    local_pki.create(old, {}, now=now)

    assert "portal.ecert.localhost" in hosts_of(old.gateway / "tls.pem")
    leaf, root = (x509.load_pem_x509_certificate((old.gateway / n).read_bytes()) for n in ("tls.pem", "root.pem"))
    leaf.verify_directly_issued_by(root)
    key = load_pem_private_key((old.gateway / "tls.key").read_bytes(), password=None)
    assert key.public_key() == leaf.public_key()
    assert Fernet(old.portal_sessions.read_text().split()[0])
    assert {file: file.read_bytes() for file in before_it if file.suffix != ".crl"} == {
        file: content for file, content in before_it.items() if file.suffix != ".crl"
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
def test_sample_opens_with_its_password_in_browsers_format(pki: PKI, sample: SampleECert) -> None:
    data = (pki.people / f"{sample.file}.p12").read_bytes()
    key, leaf, above = pkcs12.load_key_and_certificates(data, f"password of {sample.file}".encode())
    assert key is not None
    assert leaf == load(pki, sample)
    assert [each.subject.rfc4514_string().count("CA 2") for each in above] == [1, 1]
    pbes2, aes256_cbc = bytes.fromhex("2a864886f70d01050d"), bytes.fromhex("60864801650304012a")
    assert pbes2 in data
    assert aes256_cbc in data


@pytest.mark.parametrize(
    ("file", "outcome"),
    [
        ("chan-mei-ling", None),
        ("wong-ka-ho", None),
        ("lee-siu-fong", None),
        ("lee-siu-fong-mutual-recognition", None),
        ("lee-siu-fong-renewed", None),
        ("chan-mei-ling-personal", "certificate-personal"),
        ("chan-mei-ling-encipherment", "certificate-encipherment"),
        ("wong-ka-ho-expired", "certificate-expired"),
    ],
)
def test_identity_gives_each_sample_its_expected_result(
    pki: PKI, now: datetime, file: str, outcome: str | None
) -> None:
    trust = certificates.Trust(
        anchors=_all(pki, "anchors"),
        intermediates=_all(pki, "intermediates"),
        mutual_recognition=_all(pki, "mutual-recognition"),
        policies=frozenset({x509.ObjectIdentifier(POLICY_OIDS[ECertClass.ORGANISATIONAL])}),
    )
    sample = next(each for each in SAMPLES if each.file == file)
    try:
        certificates.validate(load(pki, sample), trust, now)
        refused = None
    except CertificateRefused as error:
        refused = error.reason
    assert refused == outcome


def test_exactly_the_revoked_sample_is_on_a_crl(pki: PKI) -> None:
    lists = [x509.load_der_x509_crl(file.read_bytes()) for file in pki.client_crls.glob("*.crl")]
    listed = {entry.serial_number for each in lists for entry in each}
    assert len(lists) == 3
    assert listed == {load(pki, sample).serial_number for sample in SAMPLES if sample.revoked}


def test_later_crl_has_a_higher_number_and_a_new_entry(pki: PKI, now: datetime) -> None:
    lee = load(pki, next(sample for sample in SAMPLES if sample.file == "lee-siu-fong-mutual-recognition"))
    file = pki.client_crls / "ca-2-15.crl"
    before = x509.load_der_x509_crl(file.read_bytes())
    crls.revoke(pki.client_ca_keys, pki.client_crls, lee, now + timedelta(hours=2))
    after = x509.load_der_x509_crl(file.read_bytes())
    assert after.get_revoked_certificate_by_serial_number(lee.serial_number) is not None
    assert _number(after) > _number(before)


def test_server_cas_meet_the_baseline_requirements(pki: PKI) -> None:
    for file in ("root.pem", "ca.pem"):
        der = x509.load_pem_x509_certificate((pki.server / file).read_bytes()).public_bytes(Encoding.DER)
        document = loader.load_der_certificate(der, "certificate", "certificate")
        kind = serverauth.determine_certificate_type(document)
        checks = pkix_certificate.create_pkix_certificate_validator_container(
            serverauth.create_decoding_validators(), serverauth.create_validators(kind)
        )
        filters = serverauth.create_serverauth_finding_filters(kind)
        results, _ = finding_filter.filter_results(filters, checks.validate(document.root))
        severities = {found.finding.severity for result in results for found in result.finding_descriptions}
        severe = {ValidationFindingSeverity[name] for name in ("FATAL", "ERROR", "WARNING")}
        assert not severities & severe, file


def test_current_certificates_of_the_samples_meet_them_too(pki: PKI, now: datetime) -> None:
    for row in samples.subscriptions(pki, samples.SUBSCRIPTIONS, now)["subscriptions"]:
        assert not errors_in(row["certificate"].encode()), row["srn"]


@pytest.mark.parametrize("service", ["identity", "payment"])
def test_key_set_holds_the_public_half_of_the_signing_key(pki: PKI, service: str) -> None:
    key = SigningKey.load(pki.signing / f"{service}.key")
    assert KeySet.load(pki.signing / f"{service}-jwks.json").keys == {key.kid: key.key.public_key()}


def test_identity_accepts_the_crls(pki: PKI, now: datetime) -> None:
    for issuer in [each for kind in ("anchors", "intermediates", "mutual-recognition") for each in _all(pki, kind)]:
        believed = []
        for file in pki.client_crls.glob("*.crl"):
            with contextlib.suppress(CRLRefused):
                believed.append(believed_crls.accept(file.read_bytes(), issuer, now + timedelta(hours=3)))
        assert len(believed) == 1


def errors_in(pem: bytes) -> list[str]:
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return [str(finding) for finding in pkilint_findings(der) if finding.severity in ("ERROR", "FATAL")]


def _number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _all(pki: PKI, kind: str) -> tuple[x509.Certificate, ...]:
    files = (pki.client_trust / kind).glob("*.pem")
    return tuple(x509.load_pem_x509_certificate(file.read_bytes()) for file in files)

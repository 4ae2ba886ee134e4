"""Checks of files by an operator: `lint` and `check-csr`."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.local import authority
from services.issuance import certificate_store, operator_checks, revocation, work
from services.issuance.ct.log_list import LogList
from services.issuance.key_policy import KeyPolicy
from services.issuance.operator_checks import NothingToLint, lint_files
from shared.runtime.operator_commands import Report
from tests.integration.services.issuance.world import World
from tests.support.transparency import running_logs
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key, rsa_key
from tests.unit.services.issuance.pki import NOW, issuing_ca


def log_list() -> LogList:
    return running_logs().log_list


def no_logs() -> LogList:
    raise AssertionError("check-csr needs no log list")


def codes(report: Report) -> set[str]:
    return {str(row["code"]) for row in report.values}  # type: ignore[index]


@pytest.fixture
def issued(world: World, tmp_path: Path) -> Path:
    """Return the issued certificate with its chain, and the CRL beside it."""
    world.issued(["www.example.hk"])
    ((der,),) = world.rows("SELECT der FROM certificates")
    path = tmp_path / "issued.pem"
    path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    (tmp_path / "issued.crt").write_bytes(der)
    work.publish_next_crl(world.pool, world.issuer, clock=world.clock)
    with world.begin() as tx:
        latest = certificate_store.latest_crl(tx.conn)
    assert latest is not None
    (tmp_path / "ca.crl").write_bytes(latest.der or b"")
    return path


@pytest.mark.parametrize("name", ["issued.pem", "issued.crt", "ca.crl"])
def test_own_certificates_and_crls_have_no_finding(issued: Path, name: str) -> None:
    report = lint_files([issued.with_name(name)], log_list)
    assert (report.values, report.failed) == ([], False)


def test_certificate_with_scts_of_logs_that_are_not_on_the_list_has_that_finding(issued: Path) -> None:
    report = lint_files([issued], lambda: replace(log_list(), logs=()))
    assert codes(report) == {"issuance.sct_of_unknown_log"}


def foreign(key: ec.EllipticCurvePrivateKey | None = None, days: int = 90, client: bool = False) -> x509.Certificate:
    """Return a certificate that another software has made."""
    ca, _ = issuing_ca()
    key = key or ec_key()
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])]
    return (
        x509.CertificateBuilder()
        .subject_name(authority.name("www.example.hk", "Example Limited"))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=days) - timedelta(seconds=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("www.example.hk")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(rsa_key(3072), hashes.SHA256())
    )


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: foreign(client=True), "issuance.extended_key_usage"),
        (lambda: foreign(days=201), "issuance.validity_too_long"),
        (lambda: foreign(key=ec_key(ec.SECP521R1())), "issuance.key_algorithm_not_allowed"),
        (foreign, "cabf.serverauth.subscriber.revocation_information_absent"),
    ],
)
def test_certificate_of_others_has_its_fault_named(
    tmp_path: Path, make: Callable[[], x509.Certificate], code: str
) -> None:
    (tmp_path / "a.pem").write_bytes(make().public_bytes(Encoding.PEM))
    report = lint_files([tmp_path / "a.pem"], log_list)
    assert report.failed
    assert any(code in found for found in codes(report)), codes(report)


def test_crl_of_others_has_its_fault_named(tmp_path: Path) -> None:
    root = authority.root("A Root CA (Test)", "ARoot", begins=NOW, years=20)
    (tmp_path / "a.crl").write_bytes(authority.crl(root, [], NOW, lifetime=timedelta(days=365)))
    assert "issuance.crl_lifetime" in codes(lint_files([tmp_path / "a.crl"], log_list))


def test_each_finding_names_its_file_and_place(tmp_path: Path, issued: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(issued.read_bytes() + foreign(days=201).public_bytes(Encoding.PEM))
    report = lint_files([issued, both], log_list)
    assert {(row["file"], row["number"]) for row in report.values} == {(str(both), 2)}  # type: ignore[index]


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"])
def test_file_without_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(content)
    with pytest.raises(NothingToLint):
        lint_files([tmp_path / "a.pem"], log_list)


def test_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.crl").open("wb") as large:
        large.truncate(10 * 1024 * 1024 + 1)
    with pytest.raises(NothingToLint):
        lint_files([tmp_path / "a.crl"], log_list)


def test_damaged_certificate_is_a_finding(tmp_path: Path) -> None:
    der = bytearray(foreign().public_bytes(Encoding.DER))
    der[300:340] = b"\xff" * 40
    (tmp_path / "a.crt").write_bytes(der)
    assert lint_files([tmp_path / "a.crt"], log_list).failed


def checked(world: World, path: Path, *names: str, policy: KeyPolicy | None = None) -> Report:
    command = operator_checks.commands(lambda: policy or world.policy, no_logs)["check-csr"]
    return command.run(world.pool, argparse.Namespace(file=path, name=list(names)))


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_usable_csr_is_described_and_nothing_is_stored(world: World, tmp_path: Path, form: str) -> None:
    der = csr_der(rsa_key(), names=["www.example.hk"])
    path = tmp_path / "a.csr"
    path.write_bytes(der if form == "DER" else as_pem(der).encode())
    report = checked(world, path, "www.example.hk")
    assert isinstance(report.values, dict)
    assert (report.failed, report.values["key"], report.values["dns_names"]) == (False, "rsa-2048", "www.example.hk")
    assert world.rows("SELECT 1 FROM key_owners UNION ALL SELECT 1 FROM blocked_keys") == []


def test_csr_that_a_submission_would_refuse_is_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.csr"
    path.write_text(as_pem(csr_der(rsa_key(), names=["www.example.hk"])))
    assert why(checked(world, path, "other.example.hk"))["surplus"] == ["www.example.hk"]
    assert why(checked(world, path, "*.com.hk"))["refused"] == "name-is-public-suffix"
    path.write_text("no CSR")
    assert why(checked(world, path))["reason"] == "csr-not-a-csr"


def test_csr_with_a_key_that_may_not_be_used_is_refused(world: World, tmp_path: Path) -> None:
    key = ec_key()
    path = tmp_path / "a.csr"
    path.write_text(as_pem(csr_der(key)))
    usable = checked(world, path).values
    assert isinstance(usable, dict)
    with world.begin() as tx:
        revocation.block_key(tx, bytes.fromhex(usable["spki_sha256"]), source="reported", actor="ops")
    assert why(checked(world, path))["reason"] == "key-blocked"


def why(report: Report) -> dict[str, object]:
    assert report.failed
    assert isinstance(report.values, dict)
    return report.values

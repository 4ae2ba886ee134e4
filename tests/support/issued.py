"""Certificates and CRLs that tests have made: kept from each database before its end, verified together at the last."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support import readers

_QUERY: Final = """
SELECT 'certificate', der FROM certificates
UNION ALL SELECT 'precertificate', precertificate FROM intents WHERE precertificate IS NOT NULL
UNION ALL SELECT 'crl', der FROM (SELECT der FROM crls WHERE der IS NOT NULL ORDER BY number) AS crls"""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Certificates, precertificates and CRLs, in order of number, of one database at its end; in DER."""

    certificates: Sequence[bytes] = ()
    precertificates: Sequence[bytes] = ()
    crls: Sequence[bytes] = ()


@dataclass
class Issued:
    """All that tests have made, by database."""

    databases: list[Kept] = field(default_factory=list)

    def keep(self, address: str) -> None:
        """Keep what a database of issuance has."""
        with psycopg.connect(address) as conn:
            rows = conn.execute(_QUERY).fetchall()
        by_kind = {kind: [bytes(der) for own, der in rows if own == kind] for kind, _ in rows}
        if by_kind:
            self.databases.append(
                Kept(
                    certificates=by_kind.get("certificate", ()),
                    precertificates=by_kind.get("precertificate", ()),
                    crls=by_kind.get("crl", ()),
                )
            )

    def faults(self) -> list[str]:
        """Return what is wrong with any of it: by pkilint and our own checks, by openssl, by Go and Java."""
        if not self.databases:
            return []
        # Heavy modules, which few tests need.
        from tests.unit.services.issuance.pki import issuing_ca, root_crl

        found, rest = _lint(self.databases), self.databases
        for kind in ("rsa", "ec"):
            ca = issuing_ca(kind)[0]
            issuer = _Issuer(certificate=ca.certificate, root=ca.chain[-1], root_crl=root_crl(kind))
            own, rest = [each for each in rest if issuer.made(each)], [each for each in rest if not issuer.made(each)]
            if own:
                found += issuer.faults(own)
        return found + [f"of no CA of these tests: {each}" for each in rest]


def _lint(kept: Sequence[Kept]) -> list[str]:
    from services.issuance.ca import crl_lint, lint
    from services.issuance.ct import certificate_check

    certificates = [der for each in kept for der in (*each.certificates, *each.precertificates)]
    found = [str(fault) for der in certificates for fault in lint.published_findings(der)]
    found += [fault for der in certificates for fault in certificate_check.faults(der)]
    return found + [str(fault) for each in kept for der in each.crls for fault in crl_lint.published_findings(der)]


@dataclass(frozen=True, kw_only=True)
class _Issuer:
    """An issuing CA of the tests, with what is above it."""

    certificate: x509.Certificate
    root: x509.Certificate
    root_crl: bytes

    def made(self, kept: Kept) -> bool:
        """Return whether this CA has signed all that a database had."""
        try:
            for each in (*kept.certificates, *kept.precertificates):
                x509.load_der_x509_certificate(each).verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        key: Any = self.certificate.public_key()
        return all(x509.load_der_x509_crl(each).is_signature_valid(key) for each in kept.crls)

    def faults(self, kept: Sequence[Kept]) -> list[str]:
        """Return what openssl finds in each database's certificates, and the readers in all of them."""
        made = readers.Made(
            root=self.root.public_bytes(Encoding.DER),
            issuer=self.certificate.public_bytes(Encoding.DER),
            root_crl=self.root_crl,
            crls=[der for each in kept for der in each.crls],
            good=[der for each in kept for der in each.certificates],
            precertificates=[der for each in kept for der in each.precertificates],
        )
        found = readers.faults(made, None)
        with tempfile.TemporaryDirectory(prefix="issued-") as name:
            (folder := Path(name)).joinpath("root.pem").write_bytes(self.root.public_bytes(Encoding.PEM))
            (folder / "issuer.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
            # What has no CRL in its database is one run.
            alone = [der for each in kept if not each.crls for der in each.certificates]
            found += self._openssl(alone, None, folder)
            found += self._openssl(made.precertificates, None, folder, "-ignore_critical")  # the poison
            for each in kept:
                found += self._openssl(each.certificates, each.crls[-1], folder) if each.crls else []
        return found

    def _openssl(self, ders: Sequence[bytes], crl: bytes | None, folder: Path, *more: str) -> list[str]:
        """Return differences from: each certificate is valid, or revoked and nothing else if it is on the CRL.

        Tests set their clocks, so that the present moment says nothing.
        """
        options = ["-x509_strict", "-purpose", "sslserver", "-no_check_time", *more]
        listed = set()
        if crl is not None:
            crls = [x509.load_der_x509_crl(der) for der in (self.root_crl, crl)]
            (folder / "crls.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in crls))
            options += ["-crl_check_all", "-CRLfile", str(folder / "crls.pem")]
            listed = {entry.serial_number for entry in crls[-1]}
        files: dict[str, bool] = {}
        for number, der in enumerate(ders):
            leaf = x509.load_der_x509_certificate(der)
            (file := folder / f"{number}.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
            files[str(file)] = leaf.serial_number in listed
        if not files:
            return []
        anchors = ["-CAfile", str(folder / "root.pem"), "-untrusted", str(folder / "issuer.pem")]
        done = subprocess.run(
            ["openssl", "verify", *options, *anchors, *files], capture_output=True, text=True, check=False
        )
        valid = {line.removesuffix(": OK") for line in done.stdout.splitlines() if line.endswith(": OK")}
        errors = [line for line in done.stderr.splitlines() if " depth lookup: " in line]
        revoked = [line for line in errors if line.endswith("certificate revoked")]
        is_right = valid == {file for file, is_listed in files.items() if not is_listed}
        if is_right and len(errors) == len(revoked) == sum(files.values()):
            return []
        return [f"openssl: {done.stdout}{done.stderr}"]

"""Verification of all that a system has issued, with fetched CRLs: by pkilint, openssl, certtool, Go and Java."""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.local.installation import Ports
from devtools.scenario.target import Target
from services.issuance.ca import crl_lint, lint
from services.issuance.ct import certificate_check
from shared.tx import utc_now
from tests.support import readers
from tests.support.readers import Made
from tests.system.readings import rows

MISSING: Final = "certtool is not installed, and only root can install it: apt-get install gnutls-bin"
_PRECERTIFICATES: Final = """
WITH found (serial, der) AS (
    SELECT serial, precertificate FROM intents WHERE precertificate IS NOT NULL
    UNION SELECT serial, der FROM stray_certificates)
SELECT der, EXISTS (SELECT FROM certificates AS c WHERE c.serial = found.serial AND revoked_at IS NOT NULL)
         OR EXISTS (SELECT FROM stray_certificates AS s WHERE s.serial = found.serial AND revoked_at IS NOT NULL)
FROM found"""
# A revocation is on a CRL within moments.
_PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate of the database."""

    certificate: x509.Certificate
    is_revoked: bool

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True, kw_only=True)
class Relying:
    """The files of a relying party: an anchor, the issuing CA's certificate and CRLs, fetched by their addresses."""

    folder: Path
    root: Path
    issuer: x509.Certificate
    lists: Sequence[x509.CertificateRevocationList]

    @classmethod
    def fetch(cls, system: Target, leaf: x509.Certificate, folder: Path) -> "Relying":
        """Fetch what the leaf and its issuer name."""
        ports = system.installation.ports
        issuer = x509.load_der_x509_certificate(published(ports, issuer_url(leaf)))
        above = x509.load_der_x509_certificate(published(ports, issuer_url(issuer)))
        assert above == x509.load_pem_x509_certificate(system.root.read_bytes())
        lists = [x509.load_der_x509_crl(published(ports, crl_url(each))) for each in (leaf, issuer)]
        (folder / "issuer.pem").write_bytes(issuer.public_bytes(Encoding.PEM))
        (folder / "crls.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in lists))
        return cls(folder=folder, root=system.root, issuer=issuer, lists=lists)

    def faults(self, issued: Issued) -> Iterator[str]:
        """Yield what is wrong by each program: a certificate is valid, or revoked and nothing else.

        A precertificate is the same but for its critical poison, which certtool cannot ignore.
        """
        is_precertificate = lint.is_precertificate(issued.der)
        serial = f"{issued.certificate.serial_number:x}"
        path = self.folder / f"{serial}.pem"
        path.write_bytes(issued.certificate.public_bytes(Encoding.PEM) + self.issuer.public_bytes(Encoding.PEM))
        for program, command, revoked in (
            ("openssl", self._openssl(path, ignoring=is_precertificate), "certificate revoked"),
            ("certtool", self._certtool(path), "The certificate chain is revoked."),
        ):
            if shutil.which(program) is None or (program == "certtool" and is_precertificate):
                continue
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = done.stdout + done.stderr
            if (done.returncode == 0) is issued.is_revoked or (revoked in said) is not issued.is_revoked:
                yield f"{program}: {serial}, {issued.is_revoked=}: {said}"

    def list_faults(self, der: bytes) -> Iterator[str]:
        """Yield what is wrong with a CRL of the issuing CA by each program."""
        path, issuer = self.folder / "list.pem", str(self.folder / "issuer.pem")
        path.write_bytes(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM))
        openssl = ("openssl", "crl", "-in", str(path), "-noout", "-CAfile", issuer)
        certtool = ("certtool", "--verify-crl", "--infile", str(path), "--load-ca-certificate", issuer)
        for command, good in ((openssl, "verify OK"), (certtool, "Verified.")):
            if shutil.which(command[0]) is not None:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode or good not in done.stdout + done.stderr:
                    yield f"{command[0]}: CRL: {done.stdout + done.stderr}"

    def made(self, issued: Sequence[Issued], precertificates: Sequence[Issued], crls: Sequence[bytes]) -> Made:
        """Return all of it for the readers of other platforms."""
        own, above = (each.public_bytes(Encoding.DER) for each in self.lists)
        return Made(
            root=x509.load_pem_x509_certificate(self.root.read_bytes()).public_bytes(Encoding.DER),
            issuer=self.issuer.public_bytes(Encoding.DER),
            root_crl=above,
            crls=[*crls, *([] if own in crls else [own])],
            good=[each.der for each in issued if not each.is_revoked],
            revoked=[each.der for each in issued if each.is_revoked],
            precertificates=[each.der for each in precertificates],
        )

    def _openssl(self, chain: Path, *, ignoring: bool) -> list[str]:
        lists = [
            *(["-ignore_critical"] if ignoring else []),
            "-crl_check_all",
            "-CRLfile",
            str(self.folder / "crls.pem"),
        ]
        anchors = ["-CAfile", str(self.root), "-untrusted", str(self.folder / "issuer.pem")]
        return ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *lists, *anchors, str(chain)]

    def _certtool(self, chain: Path) -> list[str]:
        anchors = ["--load-ca-certificate", str(self.root), "--load-crl", str(self.folder / "crls.pem")]
        return ["certtool", "--verify", "--verify-profile", "medium", "--infile", str(chain), *anchors]


def faults_of_all(system: Target, folder: Path) -> list[str]:
    """Return what is wrong with any certificate or CRL that this system has made."""
    issued = [
        Issued(certificate=x509.load_der_x509_certificate(der), is_revoked=revoked)
        for der, revoked in rows(system, "issuance", "SELECT der, revoked_at IS NOT NULL FROM certificates")
    ]
    if not issued:
        return []
    lists = rows(system, "issuance", "SELECT number, der FROM crls WHERE der IS NOT NULL ORDER BY this_update, number")
    precertificates = [
        Issued(certificate=x509.load_der_x509_certificate(der), is_revoked=revoked)
        for der, revoked in rows(system, "issuance", _PRECERTIFICATES)
        if _is_precertificate(der)
    ]
    relying = _once_all_are_listed(system, [*issued, *precertificates], folder)
    found = [fault for each in (*issued, *precertificates) for fault in relying.faults(each)]
    found += [fault for _, der in lists for fault in relying.list_faults(der)]
    found += _lint([each.der for each in (*issued, *precertificates)], [der for _, der in lists])
    found += readers.faults(relying.made(issued, precertificates, [der for _, der in lists]), utc_now())
    numbers = [number for number, _ in lists]
    if numbers != sorted(set(numbers)) or numbers != [number_of(x509.load_der_x509_crl(der)) for _, der in lists]:
        found.append(f"numbers of CRLs do not rise with their times: {numbers}")
    return found


def _is_precertificate(der: bytes) -> bool:
    """Return whether these bytes are a precertificate; without a signature, it is one that a crash may have lost."""
    return lint.is_precertificate(der) and x509.load_der_x509_certificate(der).signature != b""


def _lint(certificates: Sequence[bytes], lists: Sequence[bytes]) -> list[str]:
    """Return what pkilint and our own checks find in certificates, precertificates and CRLs."""
    found = [str(each) for der in certificates for each in lint.published_findings(der)]
    found += [each for der in certificates for each in certificate_check.faults(der)]
    return found + [str(each) for der in lists for each in crl_lint.published_findings(der)]


def _once_all_are_listed(system: Target, issued: Sequence[Issued], folder: Path) -> Relying:
    until = time.monotonic() + _PATIENCE_SECONDS
    revoked = [each.certificate.serial_number for each in issued if each.is_revoked]
    while True:
        relying = Relying.fetch(system, issued[0].certificate, folder)
        own = relying.lists[0]
        if all(own.get_revoked_certificate_by_serial_number(each) for each in revoked) or time.monotonic() > until:
            return relying
        time.sleep(0.5)  # until the next list, which follows a revocation within moments


def number_of(crl: x509.CertificateRevocationList) -> int:
    """Return the number of a CRL."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def crl_url(certificate: x509.Certificate) -> str:
    """Return the address of the CRL that covers a certificate."""
    (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name is not None
    return str(point.full_name[0].value)


def issuer_url(certificate: x509.Certificate) -> str:
    """Return the address of the certificate of a certificate's issuer."""
    (access,) = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    return str(access.access_location.value)


def published(ports: Ports, url: str) -> bytes:
    """Return what an address in a certificate serves; here its host has a port of its own."""
    host, path = urlsplit(url).netloc, urlsplit(url).path
    request = urllib.request.Request(f"http://127.0.0.1:{ports.publication}{path}", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())

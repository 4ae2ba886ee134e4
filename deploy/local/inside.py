"""Certificates between gateway and services where there is no cert-manager: one CA for each side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.local import authority as ca
from deploy.local.passwords import write_private


@dataclass(frozen=True)
class InsideCA:
    """A CA whose key lives as long as this process: it issues all certificates at once, and again when they expire."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    lives: tuple[datetime, datetime]

    @classmethod
    def make(cls, name: str, *, now: datetime) -> "InsideCA":
        """Return a new CA, valid for a year."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = ca.name(f"e-Cert renewal, inside: {name}", "This installation")
        lives = (now - timedelta(days=1), now + timedelta(days=365))
        extensions = ca.ca_extensions(key, path_length=0)
        return cls(
            ca.sign(subject, key.public_key(), issuer=subject, key=key, lives=lives, extensions=extensions), key, lives
        )

    @property
    def pem(self) -> bytes:
        """The CA's certificate."""
        return ca.certificate_pem(self.certificate)

    def issue(self, hosts: Sequence[str], file: Path) -> None:
        """Write FILE.pem and FILE.key for a process with these host names."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = ca.sign(
            ca.name(hosts[0], "This installation"),
            key.public_key(),
            issuer=self.certificate.subject,
            key=self.key,
            lives=self.lives,
            extensions=[
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
                (usage, False),
                (x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False),
                (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
            ],
        )
        write_private(file.with_suffix(".key"), ca.key_pem(key))
        file.with_suffix(".pem").write_bytes(ca.certificate_pem(certificate))

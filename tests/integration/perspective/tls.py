"""Certificates of the tests: authorities, servers and clients, as PEM with their keys."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy.local.authority import sign


@dataclass(frozen=True)
class Issuer:
    """A CA of the tests."""

    subject: x509.Name
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The CA's certificate."""
        return self._sign(self.subject, self.key, timedelta(days=30), ca=True).public_bytes(Encoding.PEM)

    def issue(self, name: str, ends: timedelta = timedelta(days=1)) -> bytes:
        """Return a certificate of this DNS name, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_subject(name), key, ends, ca=False, dns_name=name)
        return certificate.public_bytes(Encoding.PEM) + key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        ends: timedelta,
        *,
        ca: bool,
        dns_name: str | None = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=ca, path_length=None), True)]
        if dns_name is not None:
            extensions.append((x509.SubjectAlternativeName([x509.DNSName(dns_name)]), False))
        return sign(
            subject,
            key.public_key(),
            issuer=self.subject,
            key=self.key,
            lives=(now - timedelta(days=9), now + ends),
            extensions=extensions,
        )


def make_issuer(name: str) -> Issuer:
    """Return a new CA."""
    return Issuer(_subject(name), ec.generate_private_key(ec.SECP256R1()))


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

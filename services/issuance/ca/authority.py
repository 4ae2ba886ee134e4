"""Issuing CA, as its own certificate describes it; its fields are copied byte for byte into what it issues."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.issuance.ca.signer import Signer


@dataclass(frozen=True)
class IssuingCA:
    """The issuing CA's certificate and its chain; the root comes last and is not served."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def load(cls, certificate: Path, chain: Path | None = None) -> "IssuingCA":
        """Read PEM files. Raises ValueError if the first has no CA certificate with a key identifier."""
        above = x509.load_pem_x509_certificates(chain.read_bytes()) if chain is not None else []
        ca = cls(x509.load_pem_x509_certificate(certificate.read_bytes()), tuple(above))
        if not ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise ValueError(f"{certificate}: not a CA certificate")
        if not ca.key_identifier:
            raise ValueError(f"{certificate}: without a subject key identifier")
        return ca

    @cached_property
    def der(self) -> bytes:
        """The CA's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def subject(self) -> bytes:
        """The subject's bytes, which are the issuer field of everything that it signs."""
        return bytes(asn1_x509.Certificate.load(self.der).subject.dump())

    @cached_property
    def key_identifier(self) -> bytes:
        """The subject key identifier, which is the authority key identifier of everything that it signs."""
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

    @cached_property
    def served(self) -> tuple[x509.Certificate, ...]:
        """The chain that a server sends after its own certificate: the issuing CA and those above
        it, without the root.
        """
        return tuple(dict.fromkeys(c for c in (self.certificate, *self.chain) if c.subject != c.issuer))

    def check_signer(self, signer: Signer) -> None:
        """Check that the signer's key is the one in the certificate. Raises ValueError."""
        spki = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if spki != signer.spki:
            raise ValueError("the CA key does not belong to the CA certificate")

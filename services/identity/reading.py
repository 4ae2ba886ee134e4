"""Parsing of untrusted signatures and certificates in the parsing pool."""

from datetime import datetime

from cryptography import x509

from services.identity import certificates, cms
from services.identity.cms import VerifiedSignature
from shared.validation.parsing_pool import Parser


def verify(parser: Parser, signature: bytes, document: bytes, now: datetime) -> VerifiedSignature:
    """Verify a detached CMS signature. Raises SignatureRefused, and the errors of the parser."""
    return parser.run(cms.verify, signature, document, now)


def read_certificate(parser: Parser, der: bytes) -> x509.Certificate:
    """Parse a certificate completely. Raises CertificateRefused, and the errors of the parser."""
    parser.run(_check, der)
    return x509.load_der_x509_certificate(der)


def _check(der: bytes) -> None:
    """Parse a certificate completely. Returns nothing, since the library's certificates cannot be pickled."""
    certificates.read(der)

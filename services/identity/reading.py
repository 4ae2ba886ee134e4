"""Parsing of untrusted signatures and certificates in the parsing pool; a certificate is returned as bytes."""

import copyreg
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.identity import certificates, cms
from services.identity.cms import VerifiedSignature
from shared.validation.parsing_pool import Parser


def _loaded(der: bytes) -> x509.Certificate:
    """Return the certificate; the library's own function cannot be pickled."""
    return x509.load_der_x509_certificate(der)


def _reduced(certificate: x509.Certificate) -> tuple[object, tuple[bytes]]:
    return _loaded, (certificate.public_bytes(serialization.Encoding.DER),)


copyreg.pickle(x509.Certificate, _reduced)  # type: ignore[arg-type]  # typeshed wants the general form


def verify(parser: Parser, signature: bytes, document: bytes, now: datetime) -> VerifiedSignature:
    """Verify a detached CMS signature. Raises SignatureRefused, and the errors of the parser."""
    return parser.run(cms.verify, signature, document, now)


def read_certificate(parser: Parser, der: bytes) -> x509.Certificate:
    """Parse a certificate completely. Raises CertificateRefused, and the errors of the parser."""
    return parser.run(certificates.read, der)

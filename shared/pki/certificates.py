"""Certificates made by others: reading, and the key strength required for signing in or signing CRLs."""

import hashlib
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import PublicKeyAlgorithmOID

# Exceptions of cryptography for unreadable content, at load or at the first access.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
MIN_RSA_BITS: Final = 2048
# With larger keys a single verification takes too long.
MAX_RSA_BITS: Final = 8192
MIN_RSA_EXPONENT: Final = 65_537
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_KINDS: Final = frozenset({PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5, PublicKeyAlgorithmOID.EC_PUBLIC_KEY})


def sha256(certificate: x509.Certificate) -> str:
    """Return the certificate's SHA-256 in lower-case hexadecimal, its name in our records."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def is_strong(certificate: x509.Certificate) -> bool:
    """Return whether the key is RSA of 2048 bits or more with a usual exponent, or ECDSA on P-256 or P-384."""
    try:
        if certificate.public_key_algorithm_oid not in _KINDS:
            return False
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        return MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and exponent >= MIN_RSA_EXPONENT and exponent % 2 == 1
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)

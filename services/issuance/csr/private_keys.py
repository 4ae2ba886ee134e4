"""Private keys that somebody sent: they are compromised, and their public keys are determined for blocking.

Only proven keys are named: a file that claims another's public key would block that key. The library's own check of an
RSA key is not used, because it can be made to take a minute; the proof here takes milliseconds.
"""

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Final

import gmpy2
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared.pki import armour
from shared.pki.armour import Block

_OPENSSH: Final = "OPENSSH PRIVATE KEY"
# Our CSRs have no larger keys, and larger numbers are slow to multiply.
_MAX_BITS: Final = 4096
_USUAL_EXPONENT: Final = 65_537
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)


def is_private_key(der: bytes) -> bool:
    """Return whether these bytes are a private key, encrypted or not, whatever their label."""
    try:
        serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:  # it has a password
        return True
    except (ValueError, UnsupportedAlgorithm, InternalError):
        return False
    return True


def public_digests(block: Block) -> frozenset[bytes] | None:
    """Return the SHA-256 of each public key (SPKI) that this private key compromises; None if it cannot be read.

    Empty if the private key does not belong to the public key that it claims, or is of a kind that is never certified.
    """
    if block.der is None:
        return None
    try:
        key = _load(block.der, block.label)
    except _UNREADABLE:
        return None
    match key:
        case rsa.RSAPrivateKey():
            return frozenset(_rsa_digests(key))
        case ec.EllipticCurvePrivateKey():
            return frozenset(_ec_digests(key))
    return frozenset()


def _load(der: bytes, label: str) -> object:
    if label != _OPENSSH:
        return serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    text = armour.armoured(der, label).encode()
    return serialization.load_ssh_private_key(text, None, unsafe_skip_rsa_key_validation=True)


def _rsa_digests(key: rsa.RSAPrivateKey) -> Iterator[bytes]:
    """Yield digests proven by the factors, which reveal the private key for every exponent; or by the private exponent
    itself.
    """
    if key.key_size > _MAX_BITS:
        return
    private = key.private_numbers()
    n, e = private.public_numbers.n, private.public_numbers.e
    exponents = set()
    if 1 < private.p < n and private.p * private.q == n:
        exponents = {e, _USUAL_EXPONENT}
    elif e > 1 and 1 < private.d < n and gmpy2.powmod(gmpy2.powmod(2, e, n), private.d, n) == 2:
        exponents = {e}
    for exponent in exponents:
        with suppress(ValueError):  # an exponent that no key can have
            yield _digest(rsa.RSAPublicNumbers(exponent, n).public_key())


def _ec_digests(key: ec.EllipticCurvePrivateKey) -> Iterator[bytes]:
    """Yield the digest of the recomputed public key, whatever the file claims."""
    with suppress(*_UNREADABLE):
        yield _digest(ec.derive_private_key(key.private_numbers().private_value, key.curve).public_key())


def _digest(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(spki).digest()

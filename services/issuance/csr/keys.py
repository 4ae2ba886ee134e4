"""Public keys for certificates: kind, size and encoding are checked first, then known weaknesses."""

from enum import StrEnum
from typing import Final

import gmpy2
from badkeys.checks import checkrsa
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared.errors import Refused

# The AlgorithmIdentifiers that the Baseline Requirements allow, byte for byte (section 7.1.3.1). Not P-521: Mozilla's
# Root Store Policy (section 5.1) does not allow it, and Chromium refuses the handshake.
_RSA_ALGORITHM: Final = bytes.fromhex("300d06092a864886f70d0101010500")
_EC_ALGORITHMS: Final = {
    bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"): "ec-p256",
    bytes.fromhex("301006072a8648ce3d020106052b81040022"): "ec-p384",
}
# Only these sizes, because for them the lists of weak keys are complete.
_RSA_BITS: Final = frozenset({2048, 3072, 4096})
_EXPONENT_MIN: Final = 2**16 + 1
_EXPONENT_MAX: Final = 2**256 - 1
# Without "blocklist": that check needs a download and ends the process without it.
_RSA_CHECKS: Final = ("smallfactors", "rsainvalid", "fermat", "roca", "sharedprimes", "rsapoly", "smalld")


class KeyFault(StrEnum):
    """Reasons for refusing a public key; stable, since subscribers act on them."""

    ALGORITHM = "key-algorithm-not-allowed"
    ENCODING = "key-encoding-not-allowed"
    RSA_SIZE = "key-rsa-size-not-allowed"
    RSA_EXPONENT = "key-rsa-exponent-not-allowed"
    WEAK = "key-weak"


class KeyRefused(Refused):
    """The public key is not allowed; the subscriber makes another one."""

    reason = "key-refused"

    def __init__(self, fault: KeyFault, detail: str = "") -> None:
        super().__init__(detail or fault.value)
        self.reason = fault.value
        self.extensions: dict[str, object] = {"reason": fault.value}


def checked_key(spki: bytes) -> str:
    """Return the kind of this key (SubjectPublicKeyInfo, DER), such as "rsa-3072". Raises KeyRefused."""
    if _starts_with(spki, _RSA_ALGORITHM):
        kind = "rsa"
    elif (curve := next((name for der, name in _EC_ALGORITHMS.items() if _starts_with(spki, der)), None)) is not None:
        kind = curve
    else:
        raise KeyRefused(KeyFault.ALGORITHM)
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:  # including a point that is not on its curve
        raise KeyRefused(KeyFault.ENCODING) from error
    if key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) != spki:
        raise KeyRefused(KeyFault.ENCODING)  # a compressed point, or DER that is not canonical
    if isinstance(key, rsa.RSAPublicKey):
        return _checked_rsa(key.public_numbers())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyRefused(KeyFault.ALGORITHM)
    return kind


def _starts_with(spki: bytes, algorithm: bytes) -> bool:
    """Return whether the SEQUENCE of the SPKI begins with exactly this AlgorithmIdentifier."""
    if len(spki) < 2 or spki[0] != 0x30:
        return False
    header = 2 if spki[1] < 0x80 else 2 + (spki[1] & 0x7F)
    return spki[header : header + len(algorithm)] == algorithm


def _checked_rsa(numbers: rsa.RSAPublicNumbers) -> str:
    bits = numbers.n.bit_length()
    if bits not in _RSA_BITS:
        raise KeyRefused(KeyFault.RSA_SIZE, f"{bits} bits")
    if not (_EXPONENT_MIN <= numbers.e <= _EXPONENT_MAX and numbers.e % 2):
        raise KeyRefused(KeyFault.RSA_EXPONENT)
    found = sorted(checkrsa(numbers.n, e=numbers.e, checks=_RSA_CHECKS)) or _no_factors(numbers.n)
    if found:
        raise KeyRefused(KeyFault.WEAK, ", ".join(found))
    return f"rsa-{bits}"


def _no_factors(n: int) -> list[str]:
    """Return the fault of a modulus that is no product of two primes, so that anyone can compute its private key."""
    if gmpy2.powmod(2, n - 1, n) == 1:  # true for every prime, and almost never for a product of two large ones
        return ["prime"]
    return ["perfect power"] if gmpy2.is_power(n) else []

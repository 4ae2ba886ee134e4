"""List of known weak keys: Debian's of 2008, and others whose private half is public (BR 6.1.1.3).

The list is badkeys' file `blocklist.dat`: sorted entries of 16 bytes, of which 15 begin the SHA-256 of an RSA modulus
or of an elliptic curve's x, big-endian, and one is the source of the key. No package contains it: an operator downloads
it (`badkeys --update-bl`) and mounts it.
"""

import mmap
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_ENTRY: Final = 16
_DIGEST: Final = 15
# Number of neighbouring entries that are compared when a list is loaded: a search in an unsorted one would fail.
_SAMPLES: Final = 1_000


class WeakKeys(Protocol):
    """List of keys that must not be certified."""

    def has(self, spki: bytes) -> bool: ...


class NoList:
    """Empty list, for a machine that certifies nothing real."""

    def has(self, spki: bytes) -> bool:
        """Return False."""
        return False


class ListedKeys:
    """List in a file, searched in place: it may have several hundred megabytes."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._count = len(data) // _ENTRY

    @classmethod
    def load(cls, path: Path) -> "ListedKeys":
        """Open the file. Raises OSError, or ValueError for a file that is no such list."""
        with path.open("rb") as file:
            if path.stat().st_size % _ENTRY or not path.stat().st_size:
                raise ValueError(f"{path} is no list of weak keys")
            listed = cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        step = max(1, listed._count // _SAMPLES)
        digests = [listed._digest(at) for at in range(0, listed._count, step)]
        if digests != sorted(digests):
            raise ValueError(f"{path} is not sorted")
        return listed

    def has(self, spki: bytes) -> bool:
        """Return whether this key (SubjectPublicKeyInfo, DER) is listed."""
        wanted = sha256(_number(spki)).digest()[:_DIGEST]
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._digest(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low < self._count and self._digest(low) == wanted

    def _digest(self, at: int) -> bytes:
        return bytes(self._data[at * _ENTRY : at * _ENTRY + _DIGEST])


def _number(spki: bytes) -> bytes:
    key = serialization.load_der_public_key(spki)
    match key:
        case rsa.RSAPublicKey():
            number = key.public_numbers().n
        case ec.EllipticCurvePublicKey():
            number = key.public_numbers().x
        case _:
            raise ValueError("a key of a kind that is not certified")
    return number.to_bytes((number.bit_length() + 7) // 8)

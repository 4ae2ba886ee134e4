"""Merkle tree of RFC 6962, section 2.1, as somebody needs it who reads a log from its beginning and only follows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

_HASH_BYTES: Final = 32


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\0" + leaf).digest()


@dataclass(frozen=True)
class Frontier:
    """The complete subtrees of the first `size` leaves, largest first: all that is needed to append more."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def decode(cls, size: int, content: bytes) -> "Frontier":
        """Return a stored frontier. Raises ValueError."""
        peaks = tuple(content[at : at + _HASH_BYTES] for at in range(0, len(content), _HASH_BYTES))
        if len(peaks) != size.bit_count() or len(content) % _HASH_BYTES:
            raise ValueError(f"{len(content)} bytes are no frontier of {size} leaves")
        return cls(size, peaks)

    def encoded(self) -> bytes:
        """Return the peaks, one after the other."""
        return b"".join(self.peaks)

    def followed_by(self, leaves: Sequence[bytes]) -> "Frontier":
        """Return the frontier after further leaf hashes."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            peaks.append(leaf)
            complete = size
            while complete & 1:
                right, left = peaks.pop(), peaks.pop()
                peaks.append(sha256(b"\1" + left + right).digest())
                complete >>= 1
            size += 1
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """Return the tree's hash."""
        if not self.peaks:
            return sha256().digest()
        *others, found = self.peaks
        for peak in reversed(others):
            found = sha256(b"\1" + peak + found).digest()
        return found

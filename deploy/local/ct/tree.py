"""Merkle tree of RFC 6962, section 2.1, over the hashes of its leaves: root, inclusion and consistency proofs."""

from collections.abc import Sequence
from hashlib import sha256

Hashes = Sequence[bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\0" + leaf).digest()


def root(leaves: Hashes) -> bytes:
    """Return the tree's hash; that of an empty tree is the hash of nothing."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def inclusion_proof(index: int, leaves: Hashes) -> list[bytes]:
    """Return the audit path of a leaf, from the bottom up."""
    if len(leaves) <= 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(index, leaves[:split]), root(leaves[split:])]
    return [*inclusion_proof(index - split, leaves[split:]), root(leaves[:split])]


def consistency_proof(first: int, leaves: Hashes) -> list[bytes]:
    """Return the proof that the tree of the first leaves is a part of this one; it needs 0 < first <= size."""
    return _subproof(first, leaves, complete=True)


def _subproof(first: int, leaves: Hashes, *, complete: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if complete else [root(leaves)]
    split = _split(len(leaves))
    if first <= split:
        return [*_subproof(first, leaves[:split], complete=complete), root(leaves[split:])]
    return [*_subproof(first - split, leaves[split:], complete=False), root(leaves[:split])]


def _split(size: int) -> int:
    """Return the largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1

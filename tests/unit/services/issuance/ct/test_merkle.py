"""Frontier of a Merkle tree that is only followed; compared with the trees of the local logs."""

import pytest

from deploy.local.ct import tree
from services.issuance.ct.merkle import Frontier, leaf_hash

LEAVES = [leaf_hash(bytes([number])) for number in range(40)]


@pytest.mark.parametrize("first", [0, 1, 2, 3, 7, 8, 31])
def test_frontier_has_the_root_of_every_tree_that_follows(first: int) -> None:
    begun = Frontier().followed_by(LEAVES[:first])
    for size in range(first, len(LEAVES)):
        stored = Frontier.decode(begun.size, begun.encoded())
        assert stored.followed_by(LEAVES[first:size]).root() == tree.root(LEAVES[:size])


@pytest.mark.parametrize(("size", "content"), [(1, b""), (0, bytes(32)), (3, bytes(32)), (1, bytes(31))])
def test_bytes_that_are_no_frontier_are_refused(size: int, content: bytes) -> None:
    with pytest.raises(ValueError):
        Frontier.decode(size, content)

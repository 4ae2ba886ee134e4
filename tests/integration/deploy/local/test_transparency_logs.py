"""Logs of this machine, as their readers see them: roots, proofs, entries and tiles."""

import base64
import json
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from deploy.local.ct import logs as local_logs
from deploy.local.ct import tree
from services.issuance.ct import log_list
from services.issuance.ct.log_client import LogClient
from tests.integration.services.issuance.test_log_submission import submission
from tests.support.transparency import RunningLogs, running_logs
from tests.unit.services.issuance.pki import NOW, issuing_ca

# The test vectors of certificate-transparency's own Merkle tree.
LEAVES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.fixture
def logs() -> RunningLogs:
    """The logs of this process, with a few entries."""
    running = running_logs()
    running.sound()
    running.now = lambda: NOW
    for _ in range(3):
        running.client().collect(submission(), (), running.now)
    return running


def get(logs: RunningLogs, name: str, path: str, **query: Any) -> Any:
    content = LogClient().get(f"{logs.url}/{name}/", path, query, max_bytes=2**20)
    return json.loads(content) if path.startswith("ct/v1") else content


def test_list_is_of_each_start_and_the_logs_stay(tmp_path: Path) -> None:
    made = []
    for now in (NOW, NOW + timedelta(days=100)):
        local_logs.create(tmp_path, "http://127.0.0.1:1", now=now)
        made.append(log_list.load(tmp_path / local_logs.LOG_LIST, plain_http=True))
    assert [each.made_at for each in made] == [each.replace(microsecond=0) for each in (NOW, NOW + timedelta(days=100))]
    assert made[0].logs == made[1].logs


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_root_is_that_of_the_published_vectors(size: int, root: str) -> None:
    assert tree.root([tree.leaf_hash(each) for each in LEAVES[:size]]).hex() == root


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that a proof leads to, by the algorithm of RFC 9162, section 2.1.3.2."""
    node, last = leaf, size - 1
    for each in path:
        if index % 2 or index == last:
            node = sha256(b"\1" + each + node).digest()
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = sha256(b"\1" + node + each).digest()
        index, last = index // 2, last // 2
    return node


@pytest.mark.parametrize("size", range(1, 20))
def test_inclusion_proofs_lead_to_the_root(size: int) -> None:
    leaves = [tree.leaf_hash(bytes([each])) for each in range(size)]
    for index, leaf in enumerate(leaves):
        assert included(leaf, index, size, tree.inclusion_proof(index, leaves)) == tree.root(leaves)


def test_tree_head_is_signed_and_entries_lead_to_its_root(logs: RunningLogs) -> None:
    head = get(logs, "kowloon-1", "ct/v1/get-sth")
    size, root = head["tree_size"], base64.b64decode(head["sha256_root_hash"])
    message = b"\0\1" + head["timestamp"].to_bytes(8) + size.to_bytes(8) + root
    signature = base64.b64decode(head["tree_head_signature"])
    key = load_der_public_key(logs.logs["kowloon-1"].spki)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature[4:], message, ec.ECDSA(hashes.SHA256()))
    entries = get(logs, "kowloon-1", "ct/v1/get-entries", start=0, end=size - 1)["entries"]
    leaves = [tree.leaf_hash(base64.b64decode(each["leaf_input"])) for each in entries]
    assert tree.root(leaves) == root
    wanted = base64.b64encode(leaves[1]).decode()
    proof = get(logs, "kowloon-1", "ct/v1/get-proof-by-hash", hash=wanted, tree_size=size)
    assert included(leaves[1], proof["leaf_index"], size, [*map(base64.b64decode, proof["audit_path"])]) == root


def test_static_log_publishes_entries_hashes_and_issuers_as_tiles(logs: RunningLogs) -> None:
    origin, size_text, root, _, signed, _ = get(logs, "kowloon-2", "checkpoint").decode().split("\n")
    size = int(size_text)
    assert origin == f"{logs.url.removeprefix('http://')}/kowloon-2"
    assert signed.startswith(f"— {origin} ")
    hashes_tile = get(logs, "kowloon-2", f"tile/0/000.p/{size}")
    leaves = [hashes_tile[at : at + 32] for at in range(0, len(hashes_tile), 32)]
    assert tree.root(leaves) == base64.b64decode(root)
    data = get(logs, "kowloon-2", f"tile/data/000.p/{size}")
    assert data[8:10] == b"\0\1", "a precertificate"
    ca, _ = issuing_ca()
    assert get(logs, "kowloon-2", f"issuer/{sha256(ca.der).hexdigest()}") == ca.der


def test_accepted_roots_are_published(logs: RunningLogs) -> None:
    ca, _ = issuing_ca()
    roots = get(logs, "lantau-1", "ct/v1/get-roots")["certificates"]
    assert ca.chain[-1].fingerprint(hashes.SHA256()) in {sha256(base64.b64decode(each)).digest() for each in roots}

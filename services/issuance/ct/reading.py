"""Reading of logs: signed tree heads and entries, from logs of RFC 6962 and from tiles (static-ct-api)."""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from services.issuance.ct import scts
from services.issuance.ct.encoding import Malformed
from services.issuance.ct.entries import LogEntry, decode_page, decode_tile
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.log_list import Log, Protocol
from services.issuance.ct.merkle import Frontier
from services.issuance.ct.scts import SCTRefused

BATCH: Final = 256
_MAX_HEAD_BYTES: Final = 16 * 1024
_MAX_PAGE_BYTES: Final = 16 * 1024 * 1024
_TREE_HEAD: Final = 1
_NOTE_TYPE: Final = b"\x05"


class LogLies(Exception):
    """A log's tree head is not signed by it, or its entries are not those of its tree."""


@dataclass(frozen=True, kw_only=True)
class TreeHead:
    """A tree head whose signature is verified. `timestamp` is in milliseconds since 1970."""

    size: int
    timestamp: int
    root: bytes


def tree_head(log: Log, client: LogClient) -> TreeHead:
    """Return the present tree head. Raises LogLies, APIProblem or APIUnavailable."""
    static = log.protocol is Protocol.STATIC
    path = "checkpoint" if static else "ct/v1/get-sth"
    body = client.get(log.monitoring_url, path, max_bytes=_MAX_HEAD_BYTES)
    try:
        head, signature = _checkpoint(body, log) if static else _signed_tree_head(body)
        fixed = head.timestamp.to_bytes(8) + head.size.to_bytes(8)
        scts.verify_signature(log, bytes([0, _TREE_HEAD]) + fixed + head.root, signature)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, binascii.Error, SCTRefused) as error:
        raise LogLies(f"tree head: {type(error).__name__}: {error}") from error
    return head


def entries(log: Log, client: LogClient, start: int, head: TreeHead) -> Iterator[list[LogEntry]]:
    """Yield the entries from `start` to the end of this tree in batches.

    After the last one the entries are those of the tree only if the reader's Frontier has its root. Raises LogLies,
    APIProblem or APIUnavailable.
    """
    at = start
    while at < head.size:
        try:
            found = _tile(log, client, at, head) if log.protocol is Protocol.STATIC else _page(log, client, at, head)
        except Malformed as malformed:
            raise LogLies(f"entry {at}: {malformed}") from malformed
        if not found or at + len(found) > head.size:
            raise LogLies(f"{len(found)} entries from {at} of {head.size}")
        yield found
        at += len(found)


def check_root(frontier: Frontier, head: TreeHead) -> None:
    """Check that what was read up to now, since the log's beginning, is the tree of this head. Raises LogLies."""
    if frontier.size != head.size or frontier.root() != head.root:
        raise LogLies(f"the entries up to {frontier.size} are not the tree that the log has signed")


def _signed_tree_head(body: bytes) -> tuple[TreeHead, bytes]:
    found = json.loads(body)
    size, timestamp = found["tree_size"], found["timestamp"]
    if type(size) is not int or type(timestamp) is not int:
        raise TypeError("numbers")
    root = base64.b64decode(found["sha256_root_hash"], validate=True)
    signature = base64.b64decode(found["tree_head_signature"], validate=True)
    return TreeHead(size=size, timestamp=timestamp, root=root), signature


def _checkpoint(body: bytes, log: Log) -> tuple[TreeHead, bytes]:
    """Return head and signature of a signed note, whose origin is the log's submission address."""
    text, _, signatures = body.decode().partition("\n\n")
    origin, size, root, *_ = text.split("\n")
    parts = urlsplit(log.url)
    if origin != f"{parts.netloc}{parts.path}".rstrip("/"):
        raise ValueError(f"a checkpoint of {origin}")
    key_id = sha256(origin.encode() + b"\n" + _NOTE_TYPE + log.log_id).digest()[:4]
    for line in signatures.splitlines():
        name, _, encoded = line.removeprefix("— ").partition(" ")
        signed = base64.b64decode(encoded, validate=True)
        if name == origin and signed[:4] == key_id:
            timestamp = int.from_bytes(signed[4:12])
            found = TreeHead(size=int(size), timestamp=timestamp, root=base64.b64decode(root, validate=True))
            return found, signed[12:]
    raise ValueError("no signature of the log")


def _page(log: Log, client: LogClient, at: int, head: TreeHead) -> list[LogEntry]:
    query = {"start": at, "end": min(at + BATCH, head.size) - 1}
    return decode_page(client.get(log.monitoring_url, "ct/v1/get-entries", query, max_bytes=_MAX_PAGE_BYTES))


def _tile(log: Log, client: LogClient, at: int, head: TreeHead) -> list[LogEntry]:
    """Return the entries from `at` to the end of its tile."""
    index, skipped = divmod(at, BATCH)
    width = min(BATCH, head.size - index * BATCH)
    partial = "" if width == BATCH else f".p/{width}"
    content = client.get(log.monitoring_url, f"tile/data/{_place(index)}{partial}", max_bytes=_MAX_PAGE_BYTES)
    found = decode_tile(content)
    if len(found) != width:
        raise Malformed(f"a tile of {len(found)} instead of {width} entries")
    return found[skipped:]


def _place(index: int) -> str:
    """Return the path of a tile: 1234067 is x001/x234/067."""
    path = f"{index % 1000:03}"
    while index := index // 1000:
        path = f"x{index % 1000:03}/{path}"
    return path

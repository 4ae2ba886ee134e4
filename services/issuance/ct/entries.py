"""Entries of logs: the certificate in each, as `get-entries` and data tiles give them."""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from services.issuance.ct.encoding import Malformed, Reader
from services.issuance.ct.merkle import leaf_hash

_X509_ENTRY: Final = 0
_PRECERT_ENTRY: Final = 1


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """An entry: its leaf's hash, and its certificate or precertificate (DER).

    A precertificate stands beside the leaf, which has its issuer's key hash and its to-be-signed bytes without poison.
    """

    leaf_hash: bytes
    der: bytes
    issuer_key_hash: bytes | None
    tbs: bytes | None


def decode_json(entry: Any) -> LogEntry:
    """Return an entry of `get-entries`. Raises Malformed."""
    try:
        leaf, extra = (base64.b64decode(entry[name], validate=True) for name in ("leaf_input", "extra_data"))
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Malformed("no entry") from error
    reader = Reader(leaf)
    if reader.take(2) != b"\0\0":
        raise Malformed("no leaf of version 1")
    reader.take(8)
    kind, signed = _signed_entry(reader)
    reader.vector(2)
    reader.end()
    if kind == _X509_ENTRY:
        return _entry(leaf, signed, None)
    return _entry(leaf, signed, Reader(extra).vector(3))


def decode_page(body: bytes) -> list[LogEntry]:
    """Return the entries of an answer of `get-entries`. Raises Malformed."""
    try:
        found = json.loads(body)["entries"]
        return [decode_json(each) for each in found]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Malformed("no entries") from error


def decode_tile(content: bytes) -> list[LogEntry]:
    """Return the entries of a data tile (static-ct-api). Raises Malformed."""
    return [*_tile_entries(Reader(content))]


def _tile_entries(reader: Reader) -> Iterator[LogEntry]:
    while reader.at < len(reader.content):
        begins = reader.at
        reader.take(8)
        kind, signed = _signed_entry(reader)
        reader.vector(2)
        leaf = b"\0\0" + reader.content[begins : reader.at]
        precertificate = reader.vector(3) if kind == _PRECERT_ENTRY else None
        reader.vector(2)
        yield _entry(leaf, signed, precertificate)


def _entry(leaf: bytes, signed: tuple[bytes, bytes], precertificate: bytes | None) -> LogEntry:
    if precertificate is None:
        return LogEntry(leaf_hash=leaf_hash(leaf), der=signed[1], issuer_key_hash=None, tbs=None)
    return LogEntry(leaf_hash=leaf_hash(leaf), der=precertificate, issuer_key_hash=signed[0], tbs=signed[1])


def _signed_entry(reader: Reader) -> tuple[int, tuple[bytes, bytes]]:
    """Return the kind of entry, and key hash and TBS of a precertificate, or nothing and the certificate."""
    kind = reader.integer(2)
    if kind == _X509_ENTRY:
        return kind, (b"", reader.vector(3))
    if kind == _PRECERT_ENTRY:
        return kind, (reader.take(32), reader.vector(3))
    raise Malformed(f"an entry of type {kind}")

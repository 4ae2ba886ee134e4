"""One log: its entries in SQLite, its SCTs, its signed tree heads, and for a static log its tiles."""

import base64
import itertools
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Final

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from deploy.local.ct import tree
from shared.tx import Clock

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    log TEXT NOT NULL,
    position INTEGER NOT NULL,
    certificate_sha256 BLOB NOT NULL,
    leaf BLOB NOT NULL,
    leaf_hash BLOB NOT NULL,
    extra BLOB NOT NULL,
    tile_entry BLOB NOT NULL,
    PRIMARY KEY (log, position),
    UNIQUE (log, certificate_sha256)
);
CREATE TABLE IF NOT EXISTS issuers (fingerprint TEXT PRIMARY KEY, der BLOB NOT NULL);
"""
MAX_CHAIN: Final = 10
TILE: Final = 256


class Rejected(Exception):
    """A submission that the log does not take; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A logged certificate: the Merkle leaf, its extra data, and the same in a static log's data tile."""

    position: int
    leaf: bytes
    leaf_hash: bytes
    extra: bytes
    tile_entry: bytes


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The time in which the certificates of a log end."""

    begins: datetime
    ends: datetime


class Database:
    """The entries of all logs of this machine, in one file."""

    def __init__(self, file: str) -> None:
        self.lock = threading.RLock()
        self.connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class LocalLog:
    """A log with a key of its own."""

    def __init__(
        self,
        name: str,
        *,
        operator: str,
        static: bool,
        key: ec.EllipticCurvePrivateKey,
        interval: Interval,
        roots: Sequence[x509.Certificate],
        database: Database,
        clock: Clock,
    ) -> None:
        self.name, self.operator, self.static, self.interval = name, operator, static, interval
        self.roots = tuple(roots)
        self.clock = clock
        self._key, self._database = key, database

    @cached_property
    def spki(self) -> bytes:
        """The log's public key, DER."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """The log's id."""
        return sha256(self.spki).digest()

    @property
    def root_ders(self) -> list[bytes]:
        """The accepted roots, DER."""
        return [each.public_bytes(Encoding.DER) for each in self.roots]

    def sign(self, message: bytes) -> bytes:
        """Return a digitally-signed structure."""
        signature = self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        return bytes([4, 3]) + _vector(signature, 2)

    def add(self, chain: Sequence[bytes], *, precertificate: bool) -> dict[str, object]:
        """Log a chain, its end entity first. Returns the SCT's JSON, of the same time for the same certificate.

        Raises Rejected.
        """
        parsed = self._checked(chain, precertificate)
        with self._database.lock:
            position, timestamp = self._added(chain, parsed, precertificate)
        extensions = _leaf_index(position) if self.static else b""
        entry = _signed_entry(chain[0], parsed, precertificate)
        signature = self.sign(bytes([0, 0]) + timestamp.to_bytes(8) + entry + _vector(extensions, 2))
        return {
            "sct_version": 0,
            "id": base64.b64encode(self.log_id).decode(),
            "timestamp": timestamp,
            "extensions": base64.b64encode(extensions).decode(),
            "signature": base64.b64encode(signature).decode(),
        }

    def entries(self, start: int, end: int) -> list[Entry]:
        """Return the entries from `start` to before `end`."""
        with self._database.lock:
            rows = self._database.connection.execute(
                """SELECT position, leaf, leaf_hash, extra, tile_entry FROM entries
                   WHERE log = ? AND position >= ? AND position < ? ORDER BY position""",
                (self.name, start, end),
            ).fetchall()
        return [Entry(position=r[0], leaf=r[1], leaf_hash=r[2], extra=r[3], tile_entry=r[4]) for r in rows]

    def hashes(self, size: int | None = None) -> list[bytes]:
        """Return the hashes of the first leaves, of all without a size."""
        with self._database.lock:
            rows = self._database.connection.execute(
                "SELECT leaf_hash FROM entries WHERE log = ? AND position < ? ORDER BY position",
                (self.name, 2**62 if size is None else size),
            ).fetchall()
        return [row[0] for row in rows]

    def tree_head(self) -> tuple[int, int, bytes, bytes]:
        """Return size, timestamp in milliseconds, root and signature of the present tree."""
        leaves = self.hashes()
        root, timestamp = tree.root(leaves), self._milliseconds()
        message = bytes([0, 1]) + timestamp.to_bytes(8) + len(leaves).to_bytes(8) + root
        return len(leaves), timestamp, root, self.sign(message)

    def checkpoint(self, origin: str) -> str:
        """Return the tree head as a signed note (static-ct-api), whose key has this name."""
        size, timestamp, root, signature = self.tree_head()
        key_id = sha256(origin.encode() + b"\n\x05" + self.log_id).digest()[:4]
        signed = base64.b64encode(key_id + timestamp.to_bytes(8) + signature).decode()
        return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n\n— {origin} {signed}\n"

    def tile(self, level: int, index: int, width: int) -> bytes | None:
        """Return a tile of hashes; None if the tree does not reach so far."""
        leaves, span = self.hashes(), TILE**level
        first = index * TILE
        if (first + width) * span > len(leaves):
            return None
        return b"".join(tree.root(leaves[at * span : (at + 1) * span]) for at in range(first, first + width))

    def data_tile(self, index: int, width: int) -> bytes | None:
        """Return a tile of entries; None if the tree does not reach so far."""
        found = self.entries(index * TILE, index * TILE + width)
        return b"".join(each.tile_entry for each in found) if len(found) == width else None

    def issuer(self, fingerprint: str) -> bytes | None:
        """Return a certificate of a chain by its SHA-256 in hexadecimal."""
        with self._database.lock:
            row = self._database.connection.execute(
                "SELECT der FROM issuers WHERE fingerprint = ?", (fingerprint,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def _milliseconds(self) -> int:
        return int(self.clock().timestamp() * 1000)

    def _checked(self, chain: Sequence[bytes], precertificate: bool) -> list[x509.Certificate]:
        """Return the chain up to its root. Raises Rejected."""
        if not 0 < len(chain) <= MAX_CHAIN:
            raise Rejected("a chain of so many certificates")
        try:
            parsed = [x509.load_der_x509_certificate(each) for each in chain]
            if parsed[-1] not in self.roots:
                parsed += [root for root in self.roots if _is_issued_by(parsed[-1], root)][:1]
            for child, parent in itertools.pairwise(parsed):
                child.verify_directly_issued_by(parent)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise Rejected(f"no valid chain: {error}") from error
        if parsed[-1] not in self.roots or len(parsed) < 2:
            raise Rejected("the chain ends at no accepted root")
        if _is_poisoned(parsed[0]) is not precertificate:
            raise Rejected("a poison belongs into precertificates alone")
        if not self.interval.begins <= parsed[0].not_valid_after_utc < self.interval.ends:
            raise Rejected("the certificate ends outside this log's interval")
        return parsed

    def _added(
        self, chain: Sequence[bytes], parsed: Sequence[x509.Certificate], precertificate: bool
    ) -> tuple[int, int]:
        """Return position and timestamp of the entry, which is added if it is new."""
        fingerprint, connection = sha256(chain[0]).digest(), self._database.connection
        row = connection.execute(
            "SELECT position, leaf FROM entries WHERE log = ? AND certificate_sha256 = ?", (self.name, fingerprint)
        ).fetchone()
        if row is not None:
            return row[0], int.from_bytes(row[1][2:10])
        (position,) = connection.execute("SELECT count(*) FROM entries WHERE log = ?", (self.name,)).fetchone()
        timestamp = self._milliseconds()
        extensions = _leaf_index(position) if self.static else b""
        entry = _signed_entry(chain[0], parsed, precertificate)
        timestamped = timestamp.to_bytes(8) + entry + _vector(extensions, 2)
        above = [each.public_bytes(Encoding.DER) for each in parsed[1:]]
        chain_field = _vector(b"".join(_vector(each, 3) for each in above), 3)
        leaf = bytes([0, 0]) + timestamped
        logged = _vector(chain[0], 3) if precertificate else b""
        fingerprints = _vector(b"".join(sha256(each).digest() for each in above), 2)
        connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self.name,
                position,
                fingerprint,
                leaf,
                tree.leaf_hash(leaf),
                logged + chain_field,
                timestamped + logged + fingerprints,
            ),
        )
        connection.executemany(
            "INSERT OR IGNORE INTO issuers VALUES (?, ?)", [(sha256(each).hexdigest(), each) for each in above]
        )
        return position, timestamp


def _signed_entry(der: bytes, parsed: Sequence[x509.Certificate], precertificate: bool) -> bytes:
    """Return entry type and entry, as SCT and Merkle leaf have them."""
    if not precertificate:
        return (0).to_bytes(2) + _vector(der, 3)
    issuer_key = parsed[1].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return (1).to_bytes(2) + sha256(issuer_key).digest() + _vector(_without_poison(der), 3)


def _is_issued_by(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _without_poison(der: bytes) -> bytes:
    """Return the TBS that an SCT signs, encoded again."""
    tbs = asn1_x509.Certificate.load(der)["tbs_certificate"]
    kept = [each for each in tbs["extensions"] if each["extn_id"].dotted != ExtensionOID.PRECERT_POISON.dotted_string]
    tbs["extensions"] = asn1_x509.Extensions(kept)
    return bytes(tbs.dump(force=True))


def _is_poisoned(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.PRECERT_POISON)
    except x509.ExtensionNotFound:
        return False
    return found.critical


def _leaf_index(position: int) -> bytes:
    return bytes([0]) + _vector(position.to_bytes(5), 2)


def _vector(content: bytes, length_bytes: int) -> bytes:
    return len(content).to_bytes(length_bytes) + content

"""Signed certificate timestamps (RFC 6962, section 3.2): decoded from a log's answer, verified, encoded as a list."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.issuance.ct.encoding import Malformed, Reader, vector
from services.issuance.ct.log_list import Log, Protocol

MAX_ANSWER_BYTES: Final = 16 * 1024
MAX_SCTS: Final = 20
# A log's clock may be this far ahead of ours.
MAX_CLOCK_DIFFERENCE: Final = timedelta(seconds=5)
_MAX_EXTENSION_BYTES: Final = 1024
_VERSION: Final = 0
_CERTIFICATE_TIMESTAMP: Final = 0
PRECERT_ENTRY: Final = 1
_SHA256: Final = 4
_LEAF_INDEX: Final = 0
_LEAF_INDEX_BYTES: Final = 5


class SCTFault(StrEnum):
    """Faults of a log's answer; labels of a metric."""

    MALFORMED = "malformed"
    OTHER_LOG = "other-log"
    VERSION = "version"
    FUTURE = "future"
    SIGNATURE = "signature"
    LEAF_INDEX = "leaf-index"


class SCTRefused(Exception):
    """A log's answer is no SCT of it for this precertificate."""

    def __init__(self, fault: SCTFault, text: str = "") -> None:
        self.fault = fault
        super().__init__(f"{fault}: {text}" if text else str(fault))


@dataclass(frozen=True, kw_only=True)
class SCT:
    """An SCT. `timestamp` is in milliseconds since 1970; `signature` has its two algorithm bytes and its length."""

    log_id: bytes
    timestamp: int
    extensions: bytes
    signature: bytes
    version: int = _VERSION

    def encoded(self) -> bytes:
        """Return the SerializedSCT, without its length."""
        fixed = bytes([self.version]) + self.log_id + self.timestamp.to_bytes(8)
        return fixed + vector(self.extensions, 2) + self.signature


@dataclass(frozen=True, kw_only=True)
class PrecertEntry:
    """Part of a precertificate that a log signs: the hash of the issuer's key, and the TBS without the poison."""

    issuer_key_hash: bytes
    tbs: bytes

    def encoded(self) -> bytes:
        """Return the structure PreCert."""
        return self.issuer_key_hash + vector(self.tbs, 3)


def decode_answer(body: bytes) -> SCT:
    """Return the SCT of an add-pre-chain answer. Raises SCTRefused."""
    if len(body) > MAX_ANSWER_BYTES:
        raise SCTRefused(SCTFault.MALFORMED, "too long")
    try:
        found = json.loads(body)
        version, timestamp = found["sct_version"], found["timestamp"]
        log_id, extensions, signature = (
            base64.b64decode(found.get(name, ""), validate=True) for name in ("id", "extensions", "signature")
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, binascii.Error) as error:
        raise SCTRefused(SCTFault.MALFORMED, type(error).__name__) from error
    if type(version) is not int or type(timestamp) is not int or not 0 <= timestamp < 2**63:
        raise SCTRefused(SCTFault.MALFORMED, "numbers")
    if version != _VERSION:
        raise SCTRefused(SCTFault.VERSION)
    if len(log_id) != 32 or len(extensions) > _MAX_EXTENSION_BYTES:
        raise SCTRefused(SCTFault.MALFORMED, "sizes")
    return SCT(log_id=log_id, timestamp=timestamp, extensions=extensions, signature=signature)


def verify(sct: SCT, log: Log, entry: PrecertEntry, now: datetime) -> None:
    """Check that the log promises to log this precertificate. Raises SCTRefused."""
    if sct.log_id != log.log_id:
        raise SCTRefused(SCTFault.OTHER_LOG)
    latest = (now.astimezone(UTC) + MAX_CLOCK_DIFFERENCE).timestamp() * 1000
    if sct.timestamp > latest:
        raise SCTRefused(SCTFault.FUTURE)
    verify_signature(log, signed_bytes(sct, entry), sct.signature)
    if log.protocol is Protocol.STATIC:
        leaf_index(sct.extensions)


def signed_bytes(sct: SCT, entry: PrecertEntry) -> bytes:
    """Return the bytes that an SCT signs."""
    return (
        bytes([sct.version, _CERTIFICATE_TIMESTAMP])
        + sct.timestamp.to_bytes(8)
        + PRECERT_ENTRY.to_bytes(2)
        + entry.encoded()
        + vector(sct.extensions, 2)
    )


def verify_signature(log: Log, message: bytes, signature: bytes) -> None:
    """Check a digitally-signed structure by the log's key, with SHA-256. Raises SCTRefused."""
    public = load_der_public_key(log.key)
    try:
        reader = Reader(signature)
        algorithms = reader.take(2)
        value = reader.vector(2)
        reader.end()
    except Malformed as malformed:
        raise SCTRefused(SCTFault.MALFORMED, "signature") from malformed
    try:
        if isinstance(public, ec.EllipticCurvePublicKey) and algorithms == bytes([_SHA256, 3]):
            public.verify(value, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, rsa.RSAPublicKey) and algorithms == bytes([_SHA256, 1]):
            public.verify(value, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise SCTRefused(SCTFault.SIGNATURE, "algorithms")
    except InvalidSignature as invalid:
        raise SCTRefused(SCTFault.SIGNATURE) from invalid


def leaf_index(extensions: bytes) -> int:
    """Return the entry's position, which a static log names in its SCT (static-ct-api). Raises SCTRefused."""
    try:
        reader = Reader(extensions)
        kind, data = reader.integer(1), reader.vector(2)
        reader.end()
    except Malformed as malformed:
        raise SCTRefused(SCTFault.LEAF_INDEX) from malformed
    if kind != _LEAF_INDEX or len(data) != _LEAF_INDEX_BYTES:
        raise SCTRefused(SCTFault.LEAF_INDEX)
    return int.from_bytes(data)


def encode_list(scts: tuple[SCT, ...]) -> bytes:
    """Return the SignedCertificateTimestampList of one or more SCTs."""
    return vector(b"".join(vector(sct.encoded(), 2) for sct in scts), 2)


def decode_list(content: bytes) -> tuple[SCT, ...]:
    """Return the SCTs of a SignedCertificateTimestampList. Raises Malformed."""
    outer = Reader(content)
    inner = Reader(outer.vector(2))
    outer.end()
    found: list[SCT] = []
    while inner.at < len(inner.content):
        if len(found) == MAX_SCTS:
            raise Malformed(f"more than {MAX_SCTS} SCTs")
        found.append(_decoded(inner.vector(2)))
    return tuple(found)


def _decoded(content: bytes) -> SCT:
    reader = Reader(content)
    version, log_id, timestamp, extensions = reader.integer(1), reader.take(32), reader.integer(8), reader.vector(2)
    if version != _VERSION:
        raise Malformed(f"an SCT of version {version}")
    signature = reader.take(len(content) - reader.at)
    return SCT(log_id=log_id, timestamp=timestamp, extensions=extensions, signature=signature)

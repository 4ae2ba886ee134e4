"""Readers of the feed by their registered certificates, and the rights of each role."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from psycopg.rows import class_row

from shared import audit
from shared.db import Conn
from shared.errors import Refused
from shared.pki import armour
from shared.pki.armour import CERTIFICATE_LABELS
from shared.pki.certificates import UNREADABLE
from shared.tx import Tx


class Action(StrEnum):
    """Actions at the feed's process."""

    READ_EVENTS = "read-events"
    READ_HEAD = "read-head"


class Role(StrEnum):
    """Roles of readers. A monitor sees the head, and no event."""

    READER = "reader"
    MONITOR = "monitor"


RIGHTS: Final[Mapping[str, frozenset[Action]]] = {
    Role.READER: frozenset({Action.READ_EVENTS, Action.READ_HEAD}),
    Role.MONITOR: frozenset({Action.READ_HEAD}),
}


class ReaderUnknown(Refused):
    """The certificate is not registered."""

    reason = "reader-unknown"


class ReaderWithdrawn(Refused):
    """The certificate's registration was withdrawn."""

    reason = "reader-withdrawn"


class CertificateNotValid(Refused):
    """The certificate is not yet valid, or has expired."""

    reason = "certificate-not-valid"


class NoRight(Refused):
    """The reader's role does not allow this."""

    reason = "no-right"


class ReaderRefused(Refused):
    """The certificate cannot be registered."""

    reason = "reader-refused"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A registered certificate."""

    certificate_sha256: str
    reader: str
    role: str
    subject: str
    not_after: datetime
    registered_at: datetime
    withdrawn_at: datetime | None


_COLUMNS: Final = "certificate_sha256, reader, role, subject, not_after, registered_at, withdrawn_at"


def authorise(conn: Conn, der: bytes, action: Action, now: datetime) -> Reader:
    """Return the reader with this certificate and the right to this action.

    Raises ReaderUnknown, ReaderWithdrawn, CertificateNotValid or NoRight.
    """
    reader = _find(conn, hashlib.sha256(der).hexdigest())
    if reader is None:
        raise ReaderUnknown("this certificate is not registered")
    if reader.withdrawn_at is not None:
        raise ReaderWithdrawn("this certificate is withdrawn")
    if now > reader.not_after:
        raise CertificateNotValid("this certificate has expired")
    if action not in RIGHTS.get(reader.role, frozenset()):
        raise NoRight(f"{reader.role}: {action}")
    return reader


def register(tx: Tx, name: str, role: Role, pem: bytes, *, actor: str) -> Reader:
    """Register a reader's certificate, beside existing ones. Raises ReaderRefused."""
    certificate = _read(pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    reader = Reader(
        certificate_sha256=hashlib.sha256(der).hexdigest(),
        reader=name,
        role=role.value,
        subject=certificate.subject.rfc4514_string(),
        not_after=certificate.not_valid_after_utc,
        registered_at=tx.now,
        withdrawn_at=None,
    )
    if not certificate.not_valid_before_utc <= tx.now <= reader.not_after:
        raise ReaderRefused("the certificate is not valid now")
    added = tx.conn.execute(
        f"""INSERT INTO feed_readers ({_COLUMNS})
            VALUES (%(certificate_sha256)s, %(reader)s, %(role)s, %(subject)s, %(not_after)s, %(registered_at)s, NULL)
            ON CONFLICT (certificate_sha256) DO NOTHING""",
        vars(reader),
    ).rowcount
    if added == 0:
        raise ReaderRefused("the certificate is registered, or was: a withdrawn one never comes back")
    details = {"role": role.value, "certificate_sha256": reader.certificate_sha256}
    audit.record(tx, actor=actor, action="feed-reader-registered", subject=name, details=details)
    return reader


def withdraw(tx: Tx, certificate_sha256: str, *, actor: str, reason: str) -> Reader:
    """Withdraw a certificate's registration, for good. Raises ReaderUnknown."""
    changed = tx.conn.execute(
        "UPDATE feed_readers SET withdrawn_at = %s WHERE certificate_sha256 = %s AND withdrawn_at IS NULL",
        (tx.now, certificate_sha256),
    ).rowcount
    reader = _find(tx.conn, certificate_sha256)
    if reader is None:
        raise ReaderUnknown("this certificate is not registered")
    if changed:
        details = {"certificate_sha256": certificate_sha256, "reason": reason}
        audit.record(tx, actor=actor, action="feed-reader-withdrawn", subject=reader.reader, details=details)
    return reader


def everyone(conn: Conn) -> list[Reader]:
    """Return all certificates that are or were registered."""
    with conn.cursor(row_factory=class_row(Reader)) as cursor:
        return cursor.execute(f"SELECT {_COLUMNS} FROM feed_readers ORDER BY reader, registered_at").fetchall()


def _find(conn: Conn, certificate_sha256: str) -> Reader | None:
    with conn.cursor(row_factory=class_row(Reader)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM feed_readers WHERE certificate_sha256 = %s", (certificate_sha256,)
        ).fetchone()


def _read(file: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(armour.first(file, *CERTIFICATE_LABELS) or b"")
    except UNREADABLE as error:
        raise ReaderRefused(f"this is no certificate: {error}") from error

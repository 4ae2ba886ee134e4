"""SQL of single-use data: sign-in codes, challenges, and certificates presented for examination."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from psycopg.rows import kwargs_row

from shared.db import Conn
from shared.vocabulary import ARId, RenewalId

# Long enough to distinguish a late or second use from an invented code.
KEEP: Final = timedelta(hours=1)
_BATCH_SIZE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Code:
    """A sign-in that waits for the portal; only the code's digest is stored."""

    code_sha256: str
    certificate_sha256: str
    ar_id: ARId
    redirect_uri: str
    code_challenge: str
    renewal_id: RenewalId | None
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A text to sign for a sign-in."""

    id: uuid.UUID
    document: str
    renewal_id: RenewalId | None
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class ShownCertificate:
    """A certificate presented for examination; only its code's digest is stored."""

    code_sha256: str
    certificate: bytes
    redirect_uri: str
    code_challenge: str
    expires_at: datetime


_CODE: Final = "code_sha256, certificate_sha256, ar_id, redirect_uri, code_challenge, renewal_id, expires_at"
_CHALLENGE: Final = "id, document, renewal_id, expires_at"


def add_code(conn: Conn, code: Code, now: datetime) -> None:
    """Store a code, and delete old ones."""
    _prune(conn, "sign_in_codes", now)
    conn.execute(
        f"""INSERT INTO sign_in_codes ({_CODE}) VALUES (%(code_sha256)s, %(certificate_sha256)s, %(ar_id)s,
            %(redirect_uri)s, %(code_challenge)s, %(renewal_id)s, %(expires_at)s)""",
        vars(code),
    )


def take_code(conn: Conn, code_sha256: str, now: datetime) -> Code | None:
    """Return the code and use it up; None if it is used or does not exist.

    Only one of two simultaneous callers gets it.
    """
    with conn.cursor(row_factory=kwargs_row(Code)) as cursor:
        return cursor.execute(
            f"UPDATE sign_in_codes SET used_at = %s WHERE code_sha256 = %s AND used_at IS NULL RETURNING {_CODE}",
            (now, code_sha256),
        ).fetchone()


def find_used_code(conn: Conn, code_sha256: str) -> Code | None:
    """Return a code that was used before."""
    with conn.cursor(row_factory=kwargs_row(Code)) as cursor:
        return cursor.execute(
            f"SELECT {_CODE} FROM sign_in_codes WHERE code_sha256 = %s AND used_at IS NOT NULL", (code_sha256,)
        ).fetchone()


def add_challenge(conn: Conn, challenge: Challenge, now: datetime) -> None:
    """Store a challenge, and delete old ones."""
    _prune(conn, "sign_in_challenges", now)
    conn.execute(
        f"INSERT INTO sign_in_challenges ({_CHALLENGE}) VALUES (%(id)s, %(document)s, %(renewal_id)s, %(expires_at)s)",
        vars(challenge),
    )


def find_challenge(conn: Conn, challenge_id: uuid.UUID, now: datetime) -> Challenge | None:
    """Return the challenge, if it can still be used."""
    with conn.cursor(row_factory=kwargs_row(Challenge)) as cursor:
        return cursor.execute(
            f"SELECT {_CHALLENGE} FROM sign_in_challenges WHERE id = %s AND used_at IS NULL AND expires_at > %s",
            (challenge_id, now),
        ).fetchone()


def take_challenge(conn: Conn, challenge_id: uuid.UUID, now: datetime) -> Challenge | None:
    """Return the challenge, and use it up unless this transaction fails; None if it is used,
    expired or does not exist.
    """
    with conn.cursor(row_factory=kwargs_row(Challenge)) as cursor:
        return cursor.execute(
            f"""UPDATE sign_in_challenges SET used_at = %s WHERE id = %s AND used_at IS NULL AND expires_at > %s
                RETURNING {_CHALLENGE}""",
            (now, challenge_id, now),
        ).fetchone()


def add_refusal(conn: Conn, challenge_id: uuid.UUID, reason: str, certificate_sha256: str) -> bool:
    """Record a refused answer to a challenge. Returns whether it is new and the challenge exists."""
    changed = conn.execute(
        """INSERT INTO sign_in_refusals (challenge_id, reason, certificate_sha256)
           SELECT id, %s, %s FROM sign_in_challenges WHERE id = %s ON CONFLICT DO NOTHING""",
        (reason, certificate_sha256, challenge_id),
    )
    return changed.rowcount == 1


def add_shown(conn: Conn, shown: ShownCertificate, now: datetime) -> None:
    """Store a presented certificate for a short time, and delete old ones."""
    _prune(conn, "shown_certificates", now)
    conn.execute(
        """INSERT INTO shown_certificates (code_sha256, certificate, redirect_uri, code_challenge, expires_at)
           VALUES (%(code_sha256)s, %(certificate)s, %(redirect_uri)s, %(code_challenge)s, %(expires_at)s)""",
        vars(shown),
    )


def take_shown(conn: Conn, code_sha256: str) -> ShownCertificate | None:
    """Return the certificate and delete it; None if it was taken before or does not exist."""
    with conn.cursor(row_factory=kwargs_row(ShownCertificate)) as cursor:
        return cursor.execute(
            """DELETE FROM shown_certificates WHERE code_sha256 = %s
               RETURNING code_sha256, certificate, redirect_uri, code_challenge, expires_at""",
            (code_sha256,),
        ).fetchone()


def end_session(conn: Conn, token_id: str, expires_at: datetime, now: datetime) -> bool:
    """Record that an access token's session has ended. Returns False if it had ended before."""
    _prune(conn, "ended_sessions", now)
    changed = conn.execute(
        "INSERT INTO ended_sessions (token_id, expires_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (token_id, expires_at),
    )
    return changed.rowcount == 1


def has_ended(conn: Conn, token_id: str, issued_at: datetime) -> bool:
    """Return whether the session of this access token was ended, by its AR or by a restore.

    A restored database lost who signed out since: no token from before its outbox recovery began is good.
    """
    row = conn.execute(
        """SELECT 1 FROM ended_sessions WHERE token_id = %s
           UNION ALL SELECT 1 FROM outbox_recoveries WHERE began_at >= %s LIMIT 1""",
        (token_id, issued_at),
    ).fetchone()
    return row is not None


def end_all(conn: Conn) -> None:
    """Delete every code, challenge and shown certificate, so every sign-in begins again."""
    conn.execute("DELETE FROM sign_in_codes")
    conn.execute("DELETE FROM sign_in_challenges")
    conn.execute("DELETE FROM shown_certificates")


def _prune(
    conn: Conn,
    table: Literal["sign_in_codes", "sign_in_challenges", "shown_certificates", "ended_sessions"],
    now: datetime,
) -> None:
    """Delete a few old rows, except those that another request is deleting: nobody waits."""
    conn.execute(
        f"""DELETE FROM {table} WHERE ctid IN (
                SELECT ctid FROM {table} WHERE expires_at < %s LIMIT %s FOR UPDATE SKIP LOCKED)""".encode(),
        (now - KEEP, _BATCH_SIZE),
    )

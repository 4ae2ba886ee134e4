"""The SQL of what is good once: sign-in codes, challenges, and certificates shown to be looked at."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from psycopg.rows import kwargs_row

from shared.db import Conn
from shared.vocabulary import ARId, RenewalId

# Long enough to tell a late or second use from a code that never was.
KEEP: Final = timedelta(hours=1)
_AT_ONCE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Code:
    """A sign-in that waits for the portal to take it; only the code's digest is known."""

    code_sha256: str
    certificate_sha256: str
    ar_id: ARId
    redirect_uri: str
    code_challenge: str
    renewal_id: RenewalId | None
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A text to be signed by whoever wants to sign in."""

    id: uuid.UUID
    document: str
    renewal_id: RenewalId | None
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class ShownCertificate:
    """A certificate that was shown to be looked at; only its code's digest is known."""

    code_sha256: str
    certificate: bytes
    redirect_uri: str
    code_challenge: str
    expires_at: datetime


_CODE: Final = "code_sha256, certificate_sha256, ar_id, redirect_uri, code_challenge, renewal_id, expires_at"
_CHALLENGE: Final = "id, document, renewal_id, expires_at"


def add_code(conn: Conn, code: Code, now: datetime) -> None:
    """Keep a code; forget old ones."""
    _prune(conn, "sign_in_codes", now)
    conn.execute(
        f"""INSERT INTO sign_in_codes ({_CODE}) VALUES (%(code_sha256)s, %(certificate_sha256)s, %(ar_id)s,
            %(redirect_uri)s, %(code_challenge)s, %(renewal_id)s, %(expires_at)s)""",
        vars(code),
    )


def take_code(conn: Conn, code_sha256: str, now: datetime) -> Code | None:
    """The code, used up from now on; None if it was used or never was. Two at once: one gets it."""
    with conn.cursor(row_factory=kwargs_row(Code)) as cursor:
        return cursor.execute(
            f"UPDATE sign_in_codes SET used_at = %s WHERE code_sha256 = %s AND used_at IS NULL RETURNING {_CODE}",
            (now, code_sha256),
        ).fetchone()


def find_used_code(conn: Conn, code_sha256: str) -> Code | None:
    """A code that was used before."""
    with conn.cursor(row_factory=kwargs_row(Code)) as cursor:
        return cursor.execute(
            f"SELECT {_CODE} FROM sign_in_codes WHERE code_sha256 = %s AND used_at IS NOT NULL", (code_sha256,)
        ).fetchone()


def add_challenge(conn: Conn, challenge: Challenge, now: datetime) -> None:
    """Keep a challenge; forget old ones."""
    _prune(conn, "sign_in_challenges", now)
    conn.execute(
        f"INSERT INTO sign_in_challenges ({_CHALLENGE}) VALUES (%(id)s, %(document)s, %(renewal_id)s, %(expires_at)s)",
        vars(challenge),
    )


def find_challenge(conn: Conn, challenge_id: uuid.UUID, now: datetime) -> Challenge | None:
    """The challenge, if it can still be used."""
    with conn.cursor(row_factory=kwargs_row(Challenge)) as cursor:
        return cursor.execute(
            f"SELECT {_CHALLENGE} FROM sign_in_challenges WHERE id = %s AND used_at IS NULL AND expires_at > %s",
            (challenge_id, now),
        ).fetchone()


def take_challenge(conn: Conn, challenge_id: uuid.UUID, now: datetime) -> Challenge | None:
    """The challenge, used up unless this transaction fails; None if it was used, is over, or never was."""
    with conn.cursor(row_factory=kwargs_row(Challenge)) as cursor:
        return cursor.execute(
            f"""UPDATE sign_in_challenges SET used_at = %s WHERE id = %s AND used_at IS NULL AND expires_at > %s
                RETURNING {_CHALLENGE}""",
            (now, challenge_id, now),
        ).fetchone()


def add_refusal(conn: Conn, challenge_id: uuid.UUID, reason: str, certificate_sha256: str) -> bool:
    """Note that a challenge's answer was refused; say whether this is news, and of a challenge that was ever made."""
    return (
        conn.execute(
            """INSERT INTO sign_in_refusals (challenge_id, reason, certificate_sha256)
               SELECT id, %s, %s FROM sign_in_challenges WHERE id = %s ON CONFLICT DO NOTHING""",
            (reason, certificate_sha256, challenge_id),
        ).rowcount
        == 1
    )


def add_shown(conn: Conn, shown: ShownCertificate, now: datetime) -> None:
    """Keep a certificate for as long as it takes to ask what was found; forget old ones."""
    _prune(conn, "shown_certificates", now)
    conn.execute(
        """INSERT INTO shown_certificates (code_sha256, certificate, redirect_uri, code_challenge, expires_at)
           VALUES (%(code_sha256)s, %(certificate)s, %(redirect_uri)s, %(code_challenge)s, %(expires_at)s)""",
        vars(shown),
    )


def take_shown(conn: Conn, code_sha256: str) -> ShownCertificate | None:
    """The certificate, which is forgotten; None if it was taken before or never was."""
    with conn.cursor(row_factory=kwargs_row(ShownCertificate)) as cursor:
        return cursor.execute(
            """DELETE FROM shown_certificates WHERE code_sha256 = %s
               RETURNING code_sha256, certificate, redirect_uri, code_challenge, expires_at""",
            (code_sha256,),
        ).fetchone()


def end_session(conn: Conn, token_id: str, expires_at: datetime, now: datetime) -> bool:
    """Record that an access token's session has ended; return False if it had before."""
    _prune(conn, "ended_sessions", now)
    return (
        conn.execute(
            "INSERT INTO ended_sessions (token_id, expires_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (token_id, expires_at),
        ).rowcount
        == 1
    )


def has_ended(conn: Conn, token_id: str) -> bool:
    """Return whether the session of this access token was ended."""
    return conn.execute("SELECT 1 FROM ended_sessions WHERE token_id = %s", (token_id,)).fetchone() is not None


def _prune(
    conn: Conn,
    table: Literal["sign_in_codes", "sign_in_challenges", "shown_certificates", "ended_sessions"],
    now: datetime,
) -> None:
    """A few at a time, and none that another request deletes now: nobody waits for this."""
    conn.execute(
        f"""DELETE FROM {table} WHERE ctid IN (
                SELECT ctid FROM {table} WHERE expires_at < %s LIMIT %s FOR UPDATE SKIP LOCKED)""".encode(),
        (now - KEEP, _AT_ONCE),
    )

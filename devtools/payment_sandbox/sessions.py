"""Checkout sessions of the sandbox: open, pay, decline, cancel, capture, refund."""

import secrets
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from devtools.payment_sandbox import webhooks

Json = dict[str, object]

_SESSION: Final = (
    "SELECT id, page_token, reference, amount_minor, currency, description, return_url, status, captured_minor,"
    " refunded_minor, captured_at, expires_at FROM sessions"
)
_REFUND: Final = "SELECT id, session_id, reference, amount_minor, currency, refunded_at, status FROM refunds"
# Refunds in these states count against the captured amount.
_TAKING: Final = frozenset({"succeeded", "pending", "under-review"})
MAX_LIFETIME_SECONDS: Final = 90 * 24 * 3600


class Failure(Exception):
    """The request cannot be performed; `code` is stable, for merchants to decide by."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def create(conn: sqlite3.Connection, body: Mapping[str, object], *, key: str, now: float, surcharge: int) -> str:
    """Open a session. Returns its id. `surcharge` is the wrong-amount fault."""
    expires_at = body["expires_at"]
    assert isinstance(expires_at, datetime)  # ensured by the schema
    seconds = expires_at.timestamp()
    if not now < seconds <= now + MAX_LIFETIME_SECONDS:
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_expiry", "expires_at is in the past or too far away")
    session_id = "cs_" + secrets.token_hex(12)
    conn.execute(
        "INSERT INTO sessions (id, page_token, reference, amount_minor, currency, description, return_url, status,"
        " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (
            session_id,
            secrets.token_urlsafe(24),
            body["reference"],
            _amount(body) + surcharge,
            body["currency"],
            body["description"],
            body["return_url"],
            seconds,
        ),
    )
    _note(conn, "session", key, session_id, str(body["reference"]), _amount(body) + surcharge)
    return session_id


def pay(conn: sqlite3.Connection, row: sqlite3.Row, *, now: float) -> None:
    """Pay the session: the money is reserved until the merchant captures it."""
    _move(conn, row, "paid")
    webhooks.owe(conn, "checkout.paid", row["id"], row["reference"], now=now)


def decline(conn: sqlite3.Connection, row: sqlite3.Row, *, now: float) -> None:
    """Decline an attempt to pay; the session stays open."""
    conn.execute(
        "INSERT INTO declines (id, session_id, reason, declined_at) VALUES (?, ?, 'card_declined', ?)",
        ("dc_" + secrets.token_hex(12), row["id"], now),
    )
    webhooks.owe(conn, "checkout.declined", row["id"], row["reference"], now=now)


def cancel(conn: sqlite3.Connection, session_id: str, *, now: float) -> None:
    """Cancel the session for the merchant; fails once it is paid."""
    row = load(conn, session_id, now=now)
    if row["status"] in {"paid", "captured"}:
        raise Failure(HTTPStatus.CONFLICT, "already_paid", "The session is paid already")
    if row["status"] == "open":
        _move(conn, row, "cancelled")
        webhooks.owe(conn, "checkout.cancelled", row["id"], row["reference"], now=now)


def capture(conn: sqlite3.Connection, session_id: str, body: Mapping[str, object], *, key: str, now: float) -> None:
    """Capture the reserved money in full."""
    row = load(conn, session_id, now=now)
    if row["status"] == "captured":
        raise Failure(HTTPStatus.CONFLICT, "already_captured", "The session is captured already")
    if row["status"] != "paid":
        raise Failure(HTTPStatus.CONFLICT, "not_paid", "The session is not paid")
    if (_amount(body), body["currency"]) != (row["amount_minor"], row["currency"]):
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, "amount_mismatch", "Only the whole amount can be captured")
    conn.execute(
        "UPDATE sessions SET status = 'captured', captured_minor = amount_minor, captured_at = ? WHERE id = ?",
        (now, session_id),
    )
    _note(conn, "capture", key, session_id, row["reference"], row["amount_minor"])
    webhooks.owe(conn, "checkout.captured", session_id, row["reference"], now=now)


def refund(conn: sqlite3.Connection, body: Mapping[str, object], *, key: str, now: float, status: str) -> str:
    """Refund all or part of a capture. Returns the refund's id. `status` is the state that a fault gives it."""
    row = load(conn, str(body["session_id"]), now=now)
    amount = _amount(body)
    if body["currency"] != row["currency"] or row["refunded_minor"] + amount > row["captured_minor"]:
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, "too_much", "More than what is left of the captured amount")
    refund_id = "re_" + secrets.token_hex(12)
    conn.execute(
        "INSERT INTO refunds (id, session_id, reference, amount_minor, currency, refunded_at, status)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (refund_id, row["id"], body["reference"], amount, row["currency"], now, status),
    )
    if status in _TAKING:
        conn.execute("UPDATE sessions SET refunded_minor = refunded_minor + ? WHERE id = ?", (amount, row["id"]))
    _note(conn, "refund", key, row["id"], str(body["reference"]), amount)
    webhooks.owe(conn, f"refund.{status}", row["id"], str(body["reference"]), now=now)
    return refund_id


def settle_refunds(conn: sqlite3.Connection, reference: str, status: str, *, now: float) -> int:
    """Settle the pending refunds with a reference. Returns their number."""
    rows = conn.execute(f"{_REFUND} WHERE reference = ? AND status = 'pending'", (reference,)).fetchall()
    for row in rows:
        conn.execute("UPDATE refunds SET status = ?, refunded_at = ? WHERE id = ?", (status, now, row["id"]))
        if status not in _TAKING:
            conn.execute(
                "UPDATE sessions SET refunded_minor = refunded_minor - ? WHERE id = ?",
                (row["amount_minor"], row["session_id"]),
            )
        webhooks.owe(conn, f"refund.{status}", row["session_id"], reference, now=now)
    return len(rows)


def load(conn: sqlite3.Connection, session_id: str, *, now: float) -> sqlite3.Row:
    """Return the session, expired if its time is over."""
    return _found(conn, conn.execute(f"{_SESSION} WHERE id = ?", (session_id,)).fetchone(), now)


def load_page(conn: sqlite3.Connection, page_token: str, *, now: float) -> sqlite3.Row:
    """Return the session of a checkout page."""
    return _found(conn, conn.execute(f"{_SESSION} WHERE page_token = ?", (page_token,)).fetchone(), now)


def with_reference(conn: sqlite3.Connection, reference: str, *, now: float) -> list[sqlite3.Row]:
    """Return all sessions with a merchant's reference, oldest first."""
    rows = conn.execute(f"{_SESSION} WHERE reference = ? ORDER BY rowid", (reference,)).fetchall()
    return [_found(conn, row, now) for row in rows]


def refunds_with_reference(conn: sqlite3.Connection, reference: str) -> list[Json]:
    """Return all refunds with a merchant's reference, oldest first."""
    rows = conn.execute(f"{_REFUND} WHERE reference = ? ORDER BY rowid", (reference,)).fetchall()
    return [_refund(row) for row in rows]


def refund_with_id(conn: sqlite3.Connection, refund_id: str) -> Json:
    """Return one refund as the API shows it."""
    return _refund(conn.execute(f"{_REFUND} WHERE id = ?", (refund_id,)).fetchone())


def shown(conn: sqlite3.Connection, row: sqlite3.Row, public_url: str) -> Json:
    """Return a session as the API shows it."""
    declines = conn.execute(
        "SELECT id, reason, declined_at FROM declines WHERE session_id = ? ORDER BY rowid", (row["id"],)
    ).fetchall()
    return {
        "id": row["id"],
        "livemode": False,
        "reference": row["reference"],
        "status": row["status"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "captured_minor": row["captured_minor"],
        "refunded_minor": row["refunded_minor"],
        "captured_at": _time(row["captured_at"]),
        "expires_at": _time(row["expires_at"]),
        "checkout_url": f"{public_url}/checkout/{row['page_token']}",
        "declines": [
            {"id": one["id"], "reason": one["reason"], "declined_at": _time(one["declined_at"])} for one in declines
        ],
    }


def _refund(row: sqlite3.Row) -> Json:
    return {
        "id": row["id"],
        "livemode": False,
        "session_id": row["session_id"],
        "reference": row["reference"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "status": row["status"],
        "refunded_at": _time(row["refunded_at"]) if row["status"] == "succeeded" else None,
    }


def _found(conn: sqlite3.Connection, row: sqlite3.Row | None, now: float) -> sqlite3.Row:
    if row is None:
        raise Failure(HTTPStatus.NOT_FOUND, "no_such_session", "There is no such session")
    if row["status"] == "open" and row["expires_at"] <= now:
        _move(conn, row, "expired")
        row = conn.execute(f"{_SESSION} WHERE id = ?", (row["id"],)).fetchone()
    assert isinstance(row, sqlite3.Row)
    return row


def _move(conn: sqlite3.Connection, row: sqlite3.Row, status: str) -> None:
    conn.execute("UPDATE sessions SET status = ? WHERE id = ?", (status, row["id"]))


def _note(conn: sqlite3.Connection, kind: str, key: str, session_id: str, reference: str, amount_minor: int) -> None:
    conn.execute(
        "INSERT INTO effects (kind, idempotency_key, session_id, reference, amount_minor) VALUES (?, ?, ?, ?, ?)",
        (kind, key, session_id, reference, amount_minor),
    )


def _amount(body: Mapping[str, object]) -> int:
    amount = body["amount_minor"]
    assert isinstance(amount, int)  # ensured by the schema
    return amount


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()

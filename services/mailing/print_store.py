"""SQL of the print process, within the few rights of its database role; never commits."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from psycopg.rows import class_row

from services.mailing.domain import Letter
from shared.db import Conn


@dataclass(frozen=True, kw_only=True)
class BatchRule:
    """Size and age at which a posting batch is closed."""

    size: int
    age: timedelta


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A posting batch."""

    id: uuid.UUID
    number: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """A claimed envelope: its announced facts, its sealed content, its file and its date."""

    envelope_id: uuid.UUID
    renewal_id: uuid.UUID
    item_id: uuid.UUID
    server_name: str
    sealed: bytes
    batch: Batch
    dated_on: date
    # This one included.
    attempts: int
    traceparent: str | None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A letter whose file is no longer needed."""

    envelope_id: uuid.UUID
    renewal_id: uuid.UUID
    number: int
    traceparent: str | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A printed envelope's line of the manifest."""

    envelope_id: uuid.UUID
    reference: str
    server_name: str
    recipient: str
    file_sha256: str


@dataclass(frozen=True, kw_only=True)
class _Due:
    envelope_id: uuid.UUID
    renewal_id: uuid.UUID
    item_id: uuid.UUID
    server_name: str
    sealed: bytes
    batch_id: uuid.UUID | None
    number: int | None
    dated_on: date | None
    attempts: int
    traceparent: str | None


def claim_due_envelope(
    conn: Conn, now: datetime, lease: timedelta, today: date, rule: BatchRule, fresh_id: uuid.UUID
) -> Job | None:
    """Claim the envelope that has been due longest, those without an attempt first; the lease doubles with each
    attempt.

    The first claim sets its batch and date for good.
    """
    due = _lock_due(conn, now)
    if due is None:
        return None
    if due.batch_id is not None and due.number is not None:
        batch = Batch(id=due.batch_id, number=due.number)
    else:
        batch = _open_batch(conn, now, rule, fresh_id)
    dated_on = due.dated_on or today
    conn.execute(
        """UPDATE pin_envelopes SET state = 'printing', attempts = attempts + 1, batch_id = %s, dated_on = %s,
                  due_at = %s + %s * power(2, LEAST(attempts, 6))
           WHERE envelope_id = %s""",
        (batch.id, dated_on, now, lease, due.envelope_id),
    )
    return Job(
        envelope_id=due.envelope_id,
        renewal_id=due.renewal_id,
        item_id=due.item_id,
        server_name=due.server_name,
        sealed=due.sealed,
        batch=batch,
        dated_on=dated_on,
        attempts=due.attempts + 1,
        traceparent=due.traceparent,
    )


def _lock_due(conn: Conn, now: datetime) -> _Due | None:
    with conn.cursor(row_factory=class_row(_Due)) as cursor:
        return cursor.execute(
            """SELECT e.envelope_id, e.renewal_id, e.item_id, e.server_name, e.sealed, e.batch_id, b.number, e.dated_on,
                      e.attempts, e.traceparent
               FROM pin_envelopes AS e LEFT JOIN posting_batches AS b ON b.id = e.batch_id
               WHERE e.state IN ('sealed', 'printing') AND e.due_at <= %s
               ORDER BY e.attempts > 0, e.due_at LIMIT 1 FOR UPDATE OF e SKIP LOCKED""",
            (now,),
        ).fetchone()


def _open_batch(conn: Conn, now: datetime, rule: BatchRule, fresh_id: uuid.UUID) -> Batch:
    """Return the open batch, locked; a new one if there is none, or if it is full or old."""
    _close_if_due(conn, now, rule)
    conn.execute(
        """INSERT INTO posting_batches (id, number, state, opened_at, closes_at, due_at)
           SELECT %s, COALESCE(max(number), 0) + 1, 'open', %s, %s, %s FROM posting_batches
           ON CONFLICT DO NOTHING""",
        (fresh_id, now, now + rule.age, now),
    )
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        batch = cursor.execute("SELECT id, number FROM posting_batches WHERE state = 'open' FOR UPDATE").fetchone()
    assert batch is not None
    return batch


def _close_if_due(conn: Conn, now: datetime, rule: BatchRule) -> None:
    """Mark a full or old batch as `closing`: no envelope joins it any more."""
    conn.execute(
        """UPDATE posting_batches SET state = 'closing', due_at = %(now)s
           WHERE state = 'open' AND (closes_at <= %(now)s
               OR (SELECT count(*) FROM pin_envelopes AS e WHERE e.batch_id = posting_batches.id) >= %(size)s)""",
        {"now": now, "size": rule.size},
    )


def claim_closing_batch(conn: Conn, now: datetime, leased_until: datetime, rule: BatchRule) -> Batch | None:
    """Claim a closing batch whose manifest is due: no envelope of it is still at the printer."""
    _close_if_due(conn, now, rule)
    # A statement of its own: it sees every envelope that joined before the batch began to close.
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(
            """UPDATE posting_batches SET due_at = %s WHERE id = (
                   SELECT id FROM posting_batches AS b WHERE state = 'closing' AND due_at <= %s AND NOT EXISTS (
                       SELECT 1 FROM pin_envelopes AS e WHERE e.batch_id = b.id AND e.state = 'printing')
                   ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING id, number""",
            (leased_until, now),
        ).fetchone()


def lines(conn: Conn, batch: Batch) -> Sequence[Line]:
    """Return the printed letters of a batch, in the order of their references."""
    with conn.cursor(row_factory=class_row(Line)) as cursor:
        return cursor.execute(
            """SELECT envelope_id, reference, server_name, recipient, file_sha256 FROM pin_envelopes
               WHERE batch_id = %s AND state IN ('printed', 'posted', 'returned')
               ORDER BY reference, server_name, envelope_id""",
            (batch.id,),
        ).fetchall()


def settle_printed(conn: Conn, job: Job, letter: Letter, file_sha256: str, now: datetime) -> bool:
    """Record that the letter's file is written, and delete the sealed content.

    Returns False if that was recorded before.
    """
    changed = conn.execute(
        """UPDATE pin_envelopes SET state = 'printed', sealed = NULL, reference = %s, recipient = %s,
                  file_sha256 = %s, printed_at = %s
           WHERE envelope_id = %s AND state = 'printing'""",
        (letter.reference, letter.recipient_name, file_sha256, now, job.envelope_id),
    )
    return changed.rowcount == 1


def restore_attempt(conn: Conn, job: Job) -> None:
    """Take back one attempt of an envelope: it failed for a reason that has nothing to do with the envelope."""
    conn.execute(
        "UPDATE pin_envelopes SET attempts = attempts - 1 WHERE envelope_id = %s AND state = 'printing'",
        (job.envelope_id,),
    )


def settle_faulty(conn: Conn, job: Job, reason: str) -> None:
    """Record an envelope that can never be printed; the sealed content stays for diagnosis."""
    conn.execute(
        "UPDATE pin_envelopes SET state = 'faulty', reason = %s WHERE envelope_id = %s AND state = 'printing'",
        (reason, job.envelope_id),
    )


def settle_closed(conn: Conn, batch: Batch, manifest_sha256: str, now: datetime) -> bool:
    """Record that the manifest is written: the batch can be posted. Returns False if that was recorded before."""
    changed = conn.execute(
        """UPDATE posting_batches SET state = 'closed', closed_at = %s, manifest_sha256 = %s
           WHERE id = %s AND state = 'closing'""",
        (now, manifest_sha256, batch.id),
    )
    return changed.rowcount == 1


def claim_finished_letter(conn: Conn, now: datetime, kept: timedelta, lease: timedelta) -> Finished | None:
    """Claim a letter that was posted or withdrawn at least `kept` ago: the intent to erase its file."""
    with conn.cursor(row_factory=class_row(Finished)) as cursor:
        return cursor.execute(
            """UPDATE pin_envelopes AS e SET erasing_at = %(now)s FROM posting_batches AS b
               WHERE b.id = e.batch_id AND envelope_id = (
                   SELECT envelope_id FROM pin_envelopes
                   WHERE file_sha256 IS NOT NULL AND erased_at IS NULL AND state IN ('posted', 'returned', 'dropped')
                     AND COALESCE(finished_at, printed_at) <= %(now)s - %(kept)s::interval
                     AND (erasing_at IS NULL OR erasing_at <= %(now)s - %(lease)s::interval)
                   ORDER BY erasing_at NULLS FIRST, printed_at LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING e.envelope_id, e.renewal_id, b.number, e.traceparent""",
            {"now": now, "kept": kept, "lease": lease},
        ).fetchone()


def settle_erased(conn: Conn, letter: Finished, now: datetime) -> bool:
    """Record that the file is erased. Returns False if that was recorded before."""
    changed = conn.execute(
        "UPDATE pin_envelopes SET erased_at = %s WHERE envelope_id = %s AND erased_at IS NULL",
        (now, letter.envelope_id),
    )
    return changed.rowcount == 1

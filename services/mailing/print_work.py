"""The print process: opens due envelopes, writes each letter as a file for the printer, and closes posting batches.

A blob is deleted from its row once the letter is on disk. Keeping it would let a letter be printed again, but a
second copy of a PIN is itself the danger: what is lost before the post is voided and made anew with another PIN.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from services.mailing import manifest, print_store
from services.mailing.domain import HONG_KONG, EnvelopeUnusable, Letter
from services.mailing.files import write_atomically
from services.mailing.letters.pin_envelope import Stationery
from services.mailing.print_store import BatchRule, Job
from shared import audit
from shared.db import Pool
from shared.tx import Clock, transaction, utc_now

log = structlog.get_logger()

ACTOR: Final = "mailing-print"
# Opening, setting and writing one letter takes a tenth of a second.
LEASE: Final = timedelta(seconds=20)

ENVELOPES = Counter("mailing_envelopes_total", "PIN Envelopes by what became of them at the printer", ["outcome"])
BATCHES = Counter("mailing_batches_closed_total", "Posting batches closed with their manifest")


class Key(Protocol):
    """Opens what was sealed to the printer."""

    def open(self, sealed: bytes) -> Letter: ...


@dataclass(frozen=True, kw_only=True)
class Printer:
    """What the print process works with."""

    key: Key
    stationery: Stationery
    folder: Path
    rule: BatchRule


def print_next(pool: Pool, printer: Printer, *, clock: Clock = utc_now) -> bool:
    """Print one due envelope; say whether there was one. After a crash the same file is written again."""
    with transaction(pool, clock=clock) as tx:
        today = tx.now.astimezone(HONG_KONG).date()
        job = print_store.claim_due_envelope(tx.conn, tx.now, tx.now + LEASE, today, printer.rule, tx.new_id())
    if job is None:
        return False
    try:
        letter = _open(job, printer.key)
        pdf = printer.stationery.pdf(letter, job.dated_on)
    except EnvelopeUnusable as fault:
        _set_aside(pool, job, fault, clock)
        return True
    write_atomically(manifest.folder(printer.folder, job.batch.number) / manifest.file_name(job.envelope_id), pdf)
    with transaction(pool, clock=clock) as tx:
        if print_store.settle_printed(tx.conn, job, letter, hashlib.sha256(pdf).hexdigest(), tx.now):
            ENVELOPES.labels("printed").inc()
            audit.record(
                tx,
                actor=ACTOR,
                action="envelope-printed",
                subject=str(job.renewal_id),
                details={"envelope_id": str(job.envelope_id), "batch": job.batch.number},
            )
    return True


def _open(job: Job, key: Key) -> Letter:
    letter = key.open(job.sealed)
    sealed = (letter.envelope_id, letter.renewal_id, letter.item_id, letter.server_name)
    if sealed != (job.envelope_id, job.renewal_id, job.item_id, job.server_name):
        raise EnvelopeUnusable("its content is of another envelope than its event")
    return letter


def _set_aside(pool: Pool, job: Job, fault: EnvelopeUnusable, clock: Clock) -> None:
    with transaction(pool, clock=clock) as tx:
        print_store.settle_faulty(tx.conn, job, str(fault))
        audit.record(
            tx,
            actor=ACTOR,
            action="envelope-faulty",
            subject=str(job.renewal_id),
            details={"envelope_id": str(job.envelope_id), "why": str(fault)},
        )
    ENVELOPES.labels("faulty").inc()
    log.error("envelope.faulty", envelope_id=str(job.envelope_id), error=str(fault))


def close_next(pool: Pool, printer: Printer, *, clock: Clock = utc_now) -> bool:
    """Close one batch that is full or old enough, with its manifest; say whether there was one."""
    with transaction(pool, clock=clock) as tx:
        batch = print_store.claim_closing_batch(tx.conn, tx.now, tx.now + LEASE, printer.rule)
        lines = print_store.lines(tx.conn, batch) if batch is not None else ()
    if batch is None:
        return False
    content = manifest.write(lines)
    write_atomically(manifest.folder(printer.folder, batch.number) / manifest.NAME, content)
    with transaction(pool, clock=clock) as tx:
        if print_store.settle_closed(tx.conn, batch, hashlib.sha256(content).hexdigest(), tx.now):
            BATCHES.inc()
            audit.record(
                tx,
                actor=ACTOR,
                action="batch-closed",
                subject=manifest.batch_name(batch.number),
                details={"envelopes": len(lines)},
            )
    return True

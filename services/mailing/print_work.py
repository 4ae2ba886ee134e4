"""Tasks of the print process: open due envelopes, write each letter as a file, close posting batches, erase files.

The sealed content is deleted once the letter's file is written, and the file once the letter is posted. Nothing is kept
for reprinting, since a second copy of a PIN is a danger: a lost letter is replaced by one with another PIN.
"""

import hashlib
import traceback
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from services.mailing import manifest, print_store
from services.mailing.domain import Letter
from services.mailing.files import erase, write_atomically
from services.mailing.letters.pin_envelope import Stationery
from services.mailing.print_store import BatchRule, Job
from services.mailing.refusals import EnvelopeUnusable, PrinterFailed
from shared import audit
from shared.db import Pool
from shared.observability import tracing
from shared.runtime.task_loop import claimed
from shared.tx import Clock, transaction, utc_now
from shared.vocabulary import HONG_KONG

log = structlog.get_logger()

ACTOR: Final = "mailing-print"
# Opening, typesetting and writing a letter takes a tenth of a second.
LEASE: Final = timedelta(seconds=20)
# An envelope at which the printer failed or died so often, in about ten minutes, is held.
MAX_ATTEMPTS: Final = 5

ENVELOPES = Counter("mailing_envelopes_total", "PIN Envelopes processed by the printer, by outcome", ["outcome"])
ERASED = Counter("mailing_letters_erased_total", "Letter files erased after posting")
BATCHES = Counter("mailing_batches_closed_total", "Posting batches closed with a manifest")


class Key(Protocol):
    """Key that opens sealed PINs."""

    def open(self, sealed: bytes) -> Letter: ...


@dataclass(frozen=True, kw_only=True)
class Printer:
    """Dependencies of the print process."""

    key: Key
    stationery: Stationery
    folder: Path
    rule: BatchRule
    # How long a letter's file is kept after posting.
    kept: timedelta = timedelta()


def print_next(pool: Pool, printer: Printer, *, clock: Clock = utc_now) -> bool:
    """Print one due envelope. Returns whether there was one. After a crash the same file is written again.

    An envelope that cannot be printed is held as faulty: at once if it is known why, else after MAX_ATTEMPTS. Failures
    of the disk are not the envelope's, and are retried without limit. Raises OSError and PrinterFailed.
    """
    with transaction(pool, clock=clock) as tx:
        today = tx.now.astimezone(HONG_KONG).date()
        job = print_store.claim_due_envelope(tx.conn, tx.now, LEASE, today, printer.rule, tx.new_id())
    if job is None:
        return False
    with claimed(), tracing.span("print PIN Envelope", parent=job.traceparent):
        try:
            letter, pdf = _typeset(job, printer)
            write_atomically(_file(printer, job.batch.number, job.envelope_id), pdf)
        except EnvelopeUnusable as fault:
            _hold(pool, job, str(fault), clock)
        except PrinterFailed as failure:
            if job.attempts < MAX_ATTEMPTS:
                raise
            _hold(pool, job, str(failure), clock)
        except OSError:
            with transaction(pool, clock=clock) as tx:
                print_store.restore_attempt(tx.conn, job)
            raise
        else:
            _settle_printed(pool, job, letter, pdf, clock)
    return True


def _typeset(job: Job, printer: Printer) -> tuple[Letter, bytes]:
    """Return the letter and its PDF. Raises EnvelopeUnusable, PrinterFailed and OSError."""
    if job.attempts > MAX_ATTEMPTS:
        raise EnvelopeUnusable(f"the printer ended at each of {MAX_ATTEMPTS} attempts, without an outcome")
    try:
        letter = _open(job, printer.key)
        return letter, printer.stationery.pdf(letter, job.dated_on)
    except (EnvelopeUnusable, OSError):
        raise
    except Exception as error:  # unknown, so neither its text nor its frames may be logged: they may quote the PIN
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
    raise PrinterFailed(f"the printer failed unexpectedly: {kind}")


def _settle_printed(pool: Pool, job: Job, letter: Letter, pdf: bytes, clock: Clock) -> None:
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


def _file(printer: Printer, batch: int, envelope_id: uuid.UUID) -> Path:
    return manifest.folder(printer.folder, batch) / manifest.file_name(envelope_id)


def _open(job: Job, key: Key) -> Letter:
    letter = key.open(job.sealed)
    sealed = (letter.envelope_id, letter.renewal_id, letter.item_id, letter.server_name)
    if sealed != (job.envelope_id, job.renewal_id, job.item_id, job.server_name):
        raise EnvelopeUnusable("its content is of another envelope than its event")
    return letter


def _hold(pool: Pool, job: Job, why: str, clock: Clock) -> None:
    """Hold an envelope as faulty, for an operator."""
    with transaction(pool, clock=clock) as tx:
        print_store.settle_faulty(tx.conn, job, why)
        audit.record(
            tx,
            actor=ACTOR,
            action="envelope-faulty",
            subject=str(job.renewal_id),
            details={"envelope_id": str(job.envelope_id), "why": why},
        )
    ENVELOPES.labels("faulty").inc()
    log.error("envelope.faulty", envelope_id=str(job.envelope_id), error=why)


def close_next(pool: Pool, printer: Printer, *, clock: Clock = utc_now) -> bool:
    """Close one full or old batch, with its manifest. Returns whether there was one."""
    with transaction(pool, clock=clock) as tx:
        batch = print_store.claim_closing_batch(tx.conn, tx.now, tx.now + LEASE, printer.rule)
        lines = print_store.lines(tx.conn, batch) if batch is not None else ()
    if batch is None:
        return False
    with claimed():
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


def erase_next(pool: Pool, printer: Printer, *, clock: Clock = utc_now) -> bool:
    """Erase one letter's file that is no longer needed. Returns whether there was one. Its line in the manifest stays.

    Raises FileNotFoundError if the batch's folder is missing: the file is not recorded as erased.
    """
    with transaction(pool, clock=clock) as tx:
        letter = print_store.claim_finished_letter(tx.conn, tx.now, printer.kept, LEASE)
    if letter is None:
        return False
    with claimed(), tracing.span("erase letter", parent=letter.traceparent):
        was_there = erase(_file(printer, letter.number, letter.envelope_id))
        with transaction(pool, clock=clock) as tx:
            if print_store.settle_erased(tx.conn, letter, tx.now):
                ERASED.inc()
                audit.record(
                    tx,
                    actor=ACTOR,
                    action="letter-erased",
                    subject=str(letter.renewal_id),
                    details={
                        "envelope_id": str(letter.envelope_id),
                        "batch": letter.number,
                        "was_there": was_there,
                    },
                )
    return True

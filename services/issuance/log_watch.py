"""Watch of the logs: reads what they have of our key and compares it with the database.

A certificate that the database does not know was lost in a restore, or our key was used by others.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import Gauge

from services.issuance import log_watch_store
from services.issuance.adoption import NothingToAdopt, is_known, is_ours
from services.issuance.ca.authority import IssuingCA
from services.issuance.ct import reading, tbs
from services.issuance.ct.entries import LogEntry
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.log_list import Log, LogList
from services.issuance.ct.reading import LogLies
from shared.db import Pool
from shared.runtime.database_gauges import Reading
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.tx import Clock, transaction, utc_now
from shared.web.https_client import APIProblem, APIUnavailable

UNKNOWN: Final = Gauge("issuance_ct_unknown_certificates", "Certificates of our key in logs that the database lacks")
FAULTS: Final = Gauge("issuance_ct_log_fault", "Logs whose tree or signature was wrong at the last reading", ["log"])
AGE: Final = Gauge("issuance_ct_watch_age_seconds", "Time since the log that was read longest ago was read")
READINGS: Final = (
    Reading(gauge=UNKNOWN, query=log_watch_store.UNKNOWN),
    Reading(gauge=FAULTS, query=log_watch_store.FAULTS),
    Reading(gauge=AGE, query=log_watch_store.AGE),
)
_WATCHED_STATES: Final = ("usable", "qualified", "readonly")
_MAX_TEXT: Final = 300


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The logs, and the CA whose certificates are looked for."""

    log_list: LogList
    client: LogClient
    ca: IssuingCA


def command(read: Callable[[], Watch]) -> OperatorCommand:
    """Return the command. `read` takes logs and CA out of the settings."""
    return OperatorCommand(
        help="read certificates of our key from the logs; exit status 1 if one is unknown here or a log is wrong",
        run=lambda pool, options: _report(pool, options, read()),
        add_arguments=_arguments,
        while_recovering=True,
    )


def _report(pool: Pool, options: argparse.Namespace, watch: Watch) -> Report:
    rows = [*read_logs(pool, watch, max_entries=options.max_entries)]
    return Report(values=rows, failed=any(row["unknown"] or row["fault"] for row in rows))


def read_logs(
    pool: Pool, watch: Watch, *, max_entries: int, clock: Clock = utc_now
) -> Iterator[dict[str, str | int | None]]:
    """Read what is new in each log. Yields for each how much was read, how much is unknown here, and what was wrong."""
    logs = [log for log in watch.log_list.logs if any(state in log.states for state in _WATCHED_STATES)]
    with transaction(pool, clock=clock) as tx:
        log_watch_store.save_watched(tx.conn, {log.log_id: log.description for log in logs}, now=tx.now)
    for log in logs:
        fault, lie, read, unknown = None, None, 0, 0
        try:
            read, unknown, lie = _read_log(pool, watch, log, max_entries, clock)
        except LogLies as lies:
            lie = lies
        except (APIProblem, APIUnavailable) as unavailable:
            fault = str(unavailable)[:_MAX_TEXT]
        if lie is not None:
            fault = str(lie)[:_MAX_TEXT]
            with transaction(pool, clock=clock) as tx:
                log_watch_store.save_fault(tx.conn, log.log_id, log.description, fault, now=tx.now)
        yield {"log": log.description, "entries": read, "unknown": unknown, "fault": fault}


def _read_log(pool: Pool, watch: Watch, log: Log, max_entries: int, clock: Clock) -> tuple[int, int, LogLies | None]:
    """Return how many entries were read, how many of them are of our key and unknown, and the first hidden one.

    Nothing is stored before the entries are verified to be those of the signed tree. What one entry hides does not
    keep the others from being stored; all of them are read again.
    """
    with transaction(pool, clock=clock) as tx:
        frontier = log_watch_store.find_frontier(tx.conn, log.log_id)
    begins, head = frontier.size, reading.tree_head(log, watch.client)
    candidates: list[tuple[int, LogEntry]] = []
    if head.size < begins:
        raise LogLies(f"the tree had {begins} entries, and has {head.size}")
    if head.size - begins > max_entries:
        raise APIUnavailable(f"{head.size - begins} new entries are more than {max_entries}")
    key_hash = _key_hash(watch.ca)
    for batch in reading.entries(log, watch.client, begins, head):
        candidates += [
            (frontier.size + offset, entry)
            for offset, entry in enumerate(batch)
            if _may_be_ours(entry, watch.ca, key_hash)
        ]
        frontier = frontier.followed_by([entry.leaf_hash for entry in batch])
    reading.check_root(frontier, head)
    ours, hidden = _ours(candidates, watch.ca)
    unknown = 0
    with transaction(pool, clock=clock) as tx:
        for position, der in ours:
            if not is_known(tx.conn, der):
                serial = f"{x509.load_der_x509_certificate(der).serial_number:x}"
                log_watch_store.add_unknown(tx.conn, serial, der, log=log.description, position=position, now=tx.now)
                unknown += 1
        if hidden is None:
            log_watch_store.save_frontier(tx.conn, log.log_id, log.description, frontier, now=tx.now)
    return frontier.size - begins, unknown, hidden


def _key_hash(ca: IssuingCA) -> bytes:
    spki = ca.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(spki).digest()


def _may_be_ours(entry: LogEntry, ca: IssuingCA, key_hash: bytes) -> bool:
    """Return whether the entry names our key or our CA; cheap, because almost none do."""
    return entry.issuer_key_hash == key_hash if entry.issuer_key_hash is not None else ca.subject in entry.der


def _ours(candidates: list[tuple[int, LogEntry]], ca: IssuingCA) -> tuple[list[tuple[int, bytes]], LogLies | None]:
    """Return position and certificate of the entries that our key has signed, and the first that is hidden."""
    found, hidden = [], None
    for position, entry in candidates:
        try:
            if _is_ours(position, entry, ca):
                found.append((position, entry.der))
        except LogLies as lies:
            hidden = hidden or lies
    return found, hidden


def _is_ours(position: int, entry: LogEntry, ca: IssuingCA) -> bool:
    """Return whether our key has signed it.

    Raises LogLies for a leaf with our key's hash, unless its precertificate, signed by our key, stands beside it: the
    log took it by that signature, and hides it.
    """
    try:
        ours = is_ours(entry.der, ca)
    except NothingToAdopt:
        ours = False
    if entry.tbs is not None and not (ours and _is_precertificate_of(entry.tbs, entry.der)):
        raise LogLies(f"entry {position} is of our key, and the precertificate beside it is not")
    return ours


def _is_precertificate_of(leaf_tbs: bytes, der: bytes) -> bool:
    try:
        return tbs.without_poison(x509.load_der_x509_certificate(der).tbs_certificate_bytes) == leaf_tbs
    except tbs.NotSuchTBS:
        return False


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-entries", type=int, default=1_000_000, help="most new entries of a log (1000000)")

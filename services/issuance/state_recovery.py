"""End of an outbox recovery at issuance: no process starts before every announced certificate is stored again.

A lost renewal is opened by application's CSRRequested, read from Kafka once more, and then by our own events; a known
one by our own events only. Each renewal is one transaction and idempotent, so an interrupted run can be repeated. At
last the CRL numbers continue from one that no published CRL can have reached.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final
from uuid import UUID

from psycopg import errors

from services.issuance import certificate_store, ended_intents, handlers, recovery_store, state_replay
from shared import audit
from shared.db import Pool
from shared.errors import Ignored, Refused, Undecodable
from shared.events.application import CSRRequested
from shared.messaging import codec, outbox_recovery
from shared.messaging.record import Record
from shared.security.proofs import ProofKeys
from shared.tx import Clock, Tx, transaction, utc_now
from shared.vocabulary import RenewalId

Read = Callable[[], Iterable[Sequence[Record]]]
_TYPE_HEADER: Final = ("ce_type", CSRRequested.TYPE.encode())


def put_back(
    pool: Pool, recovery_id: int, read: Read, *, keys: ProofKeys, actor: str, clock: Clock = utc_now
) -> list[str]:
    """Restore the state in this recovery's events. Returns what could not be restored, each as a line for a person.

    `read` yields the records of application's topic.
    """
    with transaction(pool, clock=clock) as tx:
        ended_intents.forget_signatures(tx, actor)
    with pool.connection() as conn:
        unopened = recovery_store.find_unopened(conn, recovery_id)
        forgotten = [*outbox_recovery.forgotten(conn, recovery_id)]
    failed: dict[str, str] = {}
    for key, record in _requests(unopened, read):
        failed |= _try(pool, key, partial(_open, record=record, keys=keys), clock)
    with pool.connection() as conn:
        closed = recovery_store.find_unopened(conn, recovery_id)
    failed = {key: failed.get(key, "its CSRRequested was not found; its orders are not open") for key in closed}
    for key in sorted({*forgotten} - ({*unopened} - {*closed})):  # those opened just now have their state
        replay = partial(state_replay.replay, renewal_id=RenewalId(UUID(key)), recovery_id=recovery_id)
        failed |= _try(pool, key, replay, clock)
    with transaction(pool, clock=clock) as tx:
        certificate_store.lock_series(tx.conn)
        number = recovery_store.raise_crl_number(tx.conn)
        audit.record(tx, actor=actor, action="crl-number-raised", subject=str(number))
        missing = recovery_store.find_missing(tx.conn, recovery_id)
    return [
        *(f"renewal {key}: {why}" for key, why in failed.items()),
        *(f"renewal {key}: certificate {serial} is not in the database" for serial, key in missing),
    ]


def _requests(wanted: Sequence[str], read: Read) -> Iterator[tuple[str, Record]]:
    """Yield application's CSRRequested records for these renewals; reads nothing if there are none."""
    keys = {key.encode(): key for key in wanted}
    for batch in read() if keys else ():
        for record in batch:
            if record.key in keys and _TYPE_HEADER in record.headers:
                yield keys[record.key], record


def _open(tx: Tx, record: Record, *, keys: ProofKeys) -> None:
    envelope = record.envelope()
    event = codec.decode_data(envelope.data, CSRRequested)
    if str(event.renewal_id) != envelope.subject:
        raise Undecodable("renewal_id and subject differ")
    handlers.on_csr_requested(tx, event, keys=keys)


def _try(pool: Pool, key: str, change: Callable[[Tx], None], clock: Clock) -> dict[str, str]:
    """Change in a separate transaction. Returns the failure by key; one failure does not affect the others."""
    try:
        with transaction(pool, clock=clock) as tx:
            change(tx)
    except Ignored:
        pass  # opened by an earlier run, or withheld
    except (Refused, errors.IntegrityError) as error:
        return {key: f"{type(error).__name__}: {error}"}
    return {}

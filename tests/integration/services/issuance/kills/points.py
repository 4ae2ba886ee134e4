"""Points at which a process of issuance is killed, from the AR's CSR to the published CRL and the relayed event."""

import importlib
import os
import signal
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn

import psycopg
from psycopg.pq import TransactionStatus


class Moment(Enum):
    """The moment of a call of a function at which its process ends."""

    CALLED = "before it begins"
    RETURNED = "after it, before its transaction is committed"
    COMMITTED = "after the commit of its transaction"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point: the last thing that was done, the process that did it, and the call by which it is recognised."""

    name: str
    process: str
    function: str
    moment: Moment

    def install(self) -> None:
        """Have this process killed at the point."""
        module, path = self.function.split(":")
        owner: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for each in outer:
            owner = getattr(owner, each)
        original, called = getattr(owner, name), []

        def replaced(*arguments: Any, **named: Any) -> Any:
            if self.moment is Moment.CALLED:
                die()
            result = original(*arguments, **named)
            if self.moment is Moment.RETURNED:
                die()
            called.append(name)
            return result

        setattr(owner, name, replaced)
        if self.moment is Moment.COMMITTED:
            _after_each_commit(lambda: die() if called else None)


def die() -> NoReturn:
    """Kill this process and those that it has started."""
    os.killpg(0, signal.SIGKILL)
    raise AssertionError


def _after_each_commit(act: Any) -> None:
    leave = psycopg.Transaction.__exit__

    def replaced(transaction: Any, kind: Any, *rest: Any) -> Any:
        result = leave(transaction, kind, *rest)
        if kind is None and transaction.connection.info.transaction_status is TransactionStatus.IDLE:
            act()
        return result

    psycopg.Transaction.__exit__ = replaced  # type: ignore[method-assign]


def _points(process: str, module: str, *rows: tuple[str, str, Moment]) -> tuple[Point, ...]:
    return tuple(
        Point(name=name, process=process, function=f"services.issuance.{module}{call}", moment=moment)
        for name, call, moment in rows
    )


CALLED, RETURNED, COMMITTED = Moment.CALLED, Moment.RETURNED, Moment.COMMITTED
INTAKE: Final = _points(
    "web",
    "",
    ("PIN attempts consumed", "pin_store:consume_attempts", COMMITTED),
    ("CSR written", "csr_intake:_store", RETURNED),
    ("CSR stored, AR without an answer", "csr_intake:_store", COMMITTED),
)
WAITING: Final = _points("work", "", ("domain check asked for", "certificate_issuance:_wait", COMMITTED))
DOMAINS: Final = _points(
    "validate",
    "domain_",
    ("domain claimed", "checks:questions", CALLED),
    ("answers of the perspectives received", "checks:_record", CALLED),
    ("proof and CAA written", "store:add_check", RETURNED),
    ("proof and CAA stored, order asleep", "store:add_check", COMMITTED),
    ("order woken", "store:wake_orders", COMMITTED),
)
# With too few logs, so that what has come is stored.
SHORT_OF_SCTS: Final = "too few SCTs stored"
ISSUING: Final = _points(
    "work",
    "",
    ("order claimed", "certificate_issuance:make_intent", CALLED),
    ("intent written", "certificate_store:add_intent", RETURNED),
    ("intent stored, key unused", "certificate_store:add_intent", COMMITTED),
    ("precertificate signed", "issuer:Issuer.precertificate", RETURNED),
    ("precertificate written", "certificate_store:save_precertificate", RETURNED),
    ("precertificate stored", "certificate_store:save_precertificate", COMMITTED),
    ("first SCT received", "ct.submission:Logs._take", RETURNED),
    (SHORT_OF_SCTS, "certificate_store:save_scts", COMMITTED),
    ("all SCTs received", "ct.submission:Logs.collect", RETURNED),
    ("SCT list and certificate's bytes stored", "certificate_store:save_certificate_tbs", COMMITTED),
    ("certificate signed", "issuer:Issuer.sign", RETURNED),
    ("certificate written", "certificate_issuance:settle", RETURNED),
    ("certificate stored, event unsent", "certificate_issuance:settle", COMMITTED),
)
REVOKING: Final = _points(
    "revoke",
    "revocation:",
    ("revocation written", "revoke_one", RETURNED),
    ("revocation stored, no CRL", "revoke_one", COMMITTED),
)
PUBLISHING: Final = _points(
    "work",
    "certificate_store:",
    ("CRL number taken", "add_crl", RETURNED),
    ("CRL's bytes stored", "add_crl", COMMITTED),
    ("CRL signed", "save_crl", CALLED),
    ("CRL written", "save_crl", RETURNED),
    ("CRL stored", "save_crl", COMMITTED),
)
_RELAY: Final = "shared.messaging.relay"
RELAYING: Final = (
    Point(name="events numbered", process="relay", function=f"{_RELAY}:stamp", moment=RETURNED),
    Point(name="numbers stored, events unsent", process="relay", function=f"{_RELAY}:stamp", moment=COMMITTED),
    Point(name="events sent", process="relay", function=f"{_RELAY}:_Batch.settle", moment=CALLED),
    Point(name="event acknowledged", process="relay", function=f"{_RELAY}:_Batch._acknowledged", moment=RETURNED),
    Point(name="events marked as sent", process="relay", function=f"{_RELAY}:_Batch.finish", moment=COMMITTED),
)
OF_ORDERS: Final = (*INTAKE, *WAITING, *DOMAINS, *ISSUING)
POINTS: Final = (*OF_ORDERS, *REVOKING, *PUBLISHING, *RELAYING)

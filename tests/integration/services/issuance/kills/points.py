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
    """A point: the last thing that was done, the process that did it, and the call by which it is recognised.

    The module of the call is issuance's, if it has no package.
    """

    name: str
    process: str
    function: str
    moment: Moment

    def install(self) -> None:
        """Have this process killed at the point."""
        module, path = self.function.split(":")
        owner: Any = importlib.import_module(module if "." in module else f"services.issuance.{module}")
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

    psycopg.Transaction.__exit__ = replaced  # type: ignore[method-assign]  # in a process that is killed


def _points(process: str, *rows: tuple[str, str, Moment]) -> tuple[Point, ...]:
    return tuple(Point(name=name, process=process, function=call, moment=moment) for name, call, moment in rows)


# The first signature of the CA's key in a process, wherever that is in its code.
_KEY_USED: Final = "tests.integration.services.issuance.kills.processes:write_down"
CALLED, RETURNED, COMMITTED = Moment.CALLED, Moment.RETURNED, Moment.COMMITTED
INTAKE: Final = _points(
    "web",
    ("PIN attempts consumed", "pin_store:consume_attempts", COMMITTED),
    ("CSR written", "csr_intake:_store", RETURNED),
    ("CSR stored, AR without an answer", "csr_intake:_store", COMMITTED),
)
WAITING: Final = _points("work", ("domain check asked for", "certificate_issuance:_wait", COMMITTED))
DOMAINS: Final = _points(
    "validate",
    ("domain claimed", "domain_checks:questions", CALLED),
    ("answers of the perspectives received", "domain_checks:_record", CALLED),
    ("proof and CAA written", "domain_store:add_check", RETURNED),
    ("proof and CAA stored, order asleep", "domain_store:add_check", COMMITTED),
    ("order woken", "domain_store:wake_orders", COMMITTED),
)
# With too few logs, so that what has come is stored.
SHORT_OF_SCTS: Final = "too few SCTs stored"
ISSUING: Final = _points(
    "work",
    ("order claimed", "certificate_issuance:make_intent", CALLED),
    ("intent written", "certificate_store:add_intent", RETURNED),
    ("intent stored, key unused", "certificate_store:add_intent", COMMITTED),
    ("precertificate signed", _KEY_USED, RETURNED),
    ("precertificate written", "certificate_store:save_precertificate", RETURNED),
    ("precertificate stored", "certificate_store:save_precertificate", COMMITTED),
    ("first SCT received", "services.issuance.ct.submission:Logs._take", RETURNED),
    (SHORT_OF_SCTS, "certificate_store:save_scts", COMMITTED),
    ("all SCTs received", "services.issuance.ct.submission:Logs.collect", RETURNED),
    ("SCT list and certificate's bytes stored", "certificate_store:save_certificate_tbs", COMMITTED),
    ("certificate signed", "issuer:Issuer.sign", RETURNED),
    ("certificate written", "certificate_issuance:settle", RETURNED),
    ("certificate stored, event unsent", "certificate_issuance:settle", COMMITTED),
)
# Thereafter the key is blocked: the intent is ended, and what was signed, stored or lost, is revoked.
BLOCKED: Final = _points(
    "work",
    ("precertificate signed, key blocked", _KEY_USED, RETURNED),
    ("first SCT received, key blocked", "services.issuance.ct.submission:Logs._take", RETURNED),
    ("certificate signed, key blocked", "issuer:Issuer.sign", RETURNED),
)
# The first CRL, from its number on; then a revocation, and a CRL with it.
PUBLISHING: Final = _points(
    "work",
    ("CRL number taken", "certificate_store:add_crl", RETURNED),
    ("CRL signed", _KEY_USED, RETURNED),
    ("CRL written", "certificate_store:save_crl", RETURNED),
    ("CRL stored", "certificate_store:save_crl", COMMITTED),
)
REVOKING: Final = _points(
    "revoke",
    ("revocation written", "revocation:revoke_one", RETURNED),
    ("revocation stored, no CRL", "revocation:revoke_one", COMMITTED),
)
LISTING: Final = _points("work", ("bytes of a CRL with a revocation stored", "certificate_store:add_crl", COMMITTED))
_RELAY: Final = "shared.messaging.relay"
RELAYING: Final = _points(
    "relay",
    ("events numbered", f"{_RELAY}:stamp", RETURNED),
    ("numbers stored, events unsent", f"{_RELAY}:stamp", COMMITTED),
    ("events sent", f"{_RELAY}:_Batch.settle", CALLED),
    ("event acknowledged", f"{_RELAY}:_Batch._acknowledged", RETURNED),
    ("events marked as sent", f"{_RELAY}:_Batch.finish", COMMITTED),
)
OF_ORDERS: Final = (*INTAKE, *WAITING, *DOMAINS, *BLOCKED, *ISSUING)
POINTS: Final = (*OF_ORDERS, *PUBLISHING, *REVOKING, *LISTING, *RELAYING)

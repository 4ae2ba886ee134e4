"""Checks of domains: ask all perspectives what they see, judge their answers, store both; wake the orders that wait."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from services.issuance import domain_store
from services.issuance.dcv import caa, methods
from services.issuance.dcv.answers import Answers, answers_of, read_answers
from services.issuance.dcv.perspectives import Failure
from services.issuance.domain_control import VALUE_LIFE
from services.issuance.domain_evidence import NOT_CORROBORATED, DomainRules
from services.issuance.domain_store import DomainCheck, DomainControl
from shared import audit
from shared.db import Pool
from shared.observability import tracing
from shared.pki.observations import Kind, Outcome, Question, Report
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now

LEASE: Final = timedelta(seconds=60)
# The kinds of record that each method reads, in the order in which they are tried.
METHODS: Final = (("7", (Kind.TXT, Kind.CNAME)), ("18", (Kind.FILE,)))

CHECKED: Final = Counter("issuance_domain_checks_total", "Checks of domains", ["outcome"])
ANSWERED: Final = Counter(
    "issuance_perspective_answers_total", "Answers of the perspectives to inquiries", ["perspective", "outcome"]
)
SECONDS: Final = Histogram(
    "issuance_domain_check_seconds",
    "Time in which all perspectives answered",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)


class Perspectives(Protocol):
    """All perspectives of the CA, of which one is the primary."""

    @property
    def primary(self) -> str: ...

    def observe(self, questions: Sequence[Question], attempt_id: uuid.UUID) -> Mapping[str, Report | Failure]: ...


@dataclass(frozen=True, kw_only=True)
class CheckDeps:
    """Dependencies of a check."""

    perspectives: Perspectives
    rules: DomainRules


def check_next(pool: Pool, deps: CheckDeps, *, clock: Clock = utc_now) -> bool:
    """Check one domain that is due; say whether there was one. No transaction is open while the perspectives look."""
    with transaction(pool, clock=clock) as tx:
        control = _claim(tx)
    if control is None:
        return False
    with claimed(), tracing.span("check domain"):
        with SECONDS.time():
            attempt_id = uuid.uuid4()
            outcomes = deps.perspectives.observe(questions(control), attempt_id)
        answers = answers_of(deps.perspectives.primary, outcomes)
        for name, answer in answers.by.items():
            ANSWERED.labels(name, "failure" if answer.failure else "report").inc()
        with transaction(pool, clock=clock) as tx:
            check = _judged(control, answers, attempt_id, tx.now, deps.rules)
            _record(tx, control, check)
        with transaction(pool, clock=clock) as tx:
            domain_store.wake_orders(tx.conn, control.subscriber_id, tx.now)
    CHECKED.labels(_outcome(check)).inc()
    return True


def _outcome(check: DomainCheck) -> str:
    if check.method:
        return "proved"
    return NOT_CORROBORATED if check.reason == NOT_CORROBORATED else "not-proved"


def _claim(tx: Tx) -> DomainControl | None:
    for fresh in (True, False):
        control = domain_store.claim_due_control(tx.conn, tx.now, LEASE, fresh=fresh)
        if control is not None:
            return control
    return None


def questions(control: DomainControl) -> list[Question]:
    """Return what the perspectives are asked about a domain: every kind of proof, and its CAA records."""
    record = methods.record_name(control.domain)
    return [
        Question(Kind.TXT, record),
        Question(Kind.CNAME, record),
        Question(Kind.FILE, control.domain),
        Question(Kind.CAA, control.domain),
    ]


def _judged(
    control: DomainControl, answers: Answers, attempt_id: uuid.UUID, now: datetime, rules: DomainRules
) -> DomainCheck:
    """Return the check with the method that proves control, if one does, or the reason why none does."""
    method, quorum, reason = None, "0", "value-expired"
    if now < control.valued_at + VALUE_LIFE:
        method, quorum, reason = _proof(control, answers, now, rules)
    return DomainCheck(
        check_id=attempt_id,
        subscriber_id=control.subscriber_id,
        domain=control.domain,
        checked_at=now,
        method=method,
        reason=None if method else reason,
        quorum=quorum,
        reports=answers.document(),
    )


def _proof(control: DomainControl, answers: Answers, now: datetime, rules: DomainRules) -> tuple[str | None, str, str]:
    reason, seen = "", "0"
    for method, kinds in METHODS:
        primary, remotes = answers.verdicts(
            lambda answer, kinds=kinds: any(  # type: ignore[misc]
                methods.proves(found, control.random_value, cname_suffix=rules.cname_suffix)
                for kind in kinds
                if (found := answer.to(kind)) is not None
            )
        )
        quorum = rules.quorum(primary, remotes, now)
        if quorum.corroborated:
            return method, quorum.text, ""
        if primary:
            reason, seen = NOT_CORROBORATED, quorum.text
    return None, seen, reason or _why_not(answers)


def _why_not(answers: Answers) -> str:
    """Return what the primary perspective saw instead of the random value: the reason that helps the AR most."""
    if (failure := answers.by[answers.primary].failure) is not None:
        return failure
    txt, cname = answers.seen(Kind.TXT), answers.seen(Kind.CNAME)
    if any(each is not None and each.outcome is Outcome.FOUND for each in (txt, cname)):
        return "another-value"
    if txt is not None and txt.outcome is Outcome.FAILED and txt.reason is not None:
        return txt.reason.value
    file = answers.seen(Kind.FILE)
    if file is not None and file.outcome is Outcome.FOUND:
        return "another-value"
    return "record-missing"


def _iodef(check: DomainCheck) -> list[str]:
    """Return where the domain wants refusals by CAA reported (RFC 8659, 4.4): noted for a person, nothing is sent."""
    observation = read_answers(check.reports, (Kind.CAA,)).seen(Kind.CAA)
    return [] if observation is None else list(caa.iodef(observation))


def _record(tx: Tx, control: DomainControl, check: DomainCheck) -> None:
    domain_store.add_check(tx.conn, check)
    domain_store.save_checked(tx.conn, control)
    audit.record(
        tx,
        actor="issuance",
        action="domain-checked",
        subject=check.domain,
        details={
            "subscriber_id": check.subscriber_id,
            "check_id": str(check.check_id),
            "method": f"3.2.2.4.{check.method}" if check.method else None,
            "reason": check.reason,
            "quorum": check.quorum,
            "iodef": _iodef(check),
        },
    )

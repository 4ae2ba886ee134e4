"""Checks of domains: ask all perspectives what they see, judge their answers, store both; wake the orders that wait."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from services.issuance import domain_store
from services.issuance.dcv import caa, methods
from services.issuance.dcv.answers import Answer, Answers, answers_of, read_answers
from services.issuance.dcv.perspectives import FAILURE_REASONS, Failure
from services.issuance.domain_control import VALUE_LIFE
from services.issuance.domain_evidence import NOT_CORROBORATED, DomainRules, judge_caa
from services.issuance.domain_store import DomainCheck, DomainControl
from shared import audit
from shared.db import Pool
from shared.observability import tracing
from shared.observability.metrics import preset
from shared.pki.observations import Kind, Outcome, Question, Reason, Report
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now

LEASE: Final = timedelta(seconds=60)
# The kinds of record that each method reads, in the order in which they are tried.
METHODS: Final = (("7", (Kind.TXT, Kind.CNAME)), ("18", (Kind.FILE,)))

PROVED: Final = "none"
# Why a domain may be unproved, as the metric counts it: a reason outside this table counts as the last one.
REASONS: Final = (
    PROVED,
    *("record-missing", "another-value", "value-expired", NOT_CORROBORATED),
    *(each.value for each in Reason),
    *(f"perspective-{each}" for each in FAILURE_REASONS),
    "other",
)
CHECKED: Final = preset(
    Counter("issuance_domain_checks_total", "Checks of domains, by why control is not proved", ["reason"]), REASONS
)
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
            attempt_id, began_at = uuid.uuid4(), clock()
            outcomes = deps.perspectives.observe(questions(control), attempt_id)
        answers = answers_of(deps.perspectives.primary, outcomes)
        for name, answer in answers.by.items():
            ANSWERED.labels(name, "failure" if answer.failure else "report").inc()
        with transaction(pool, clock=clock) as tx:
            check = _judged(control, answers, attempt_id, began_at, deps.rules)
            _record(tx, control, check, answers if check.method else answers.shortened())
        with transaction(pool, clock=clock) as tx:
            domain_store.wake_orders(tx.conn, control.subscriber_id, tx.now)
    CHECKED.labels(counted_as(check.reason)).inc()
    return True


def counted_as(reason: str | None) -> str:
    """Return the metric's label of a check that ended for this reason; None if it proved control."""
    if reason is None:
        return PROVED
    return reason if reason in REASONS else REASONS[-1]


def _claim(tx: Tx) -> DomainControl | None:
    return domain_store.claim_due_control(tx.conn, tx.now, LEASE)


def questions(control: DomainControl) -> list[Question]:
    """Return what the perspectives are asked about a domain: every kind of proof that it has room for, and CAA."""
    found = [Question(Kind.FILE, control.domain), Question(Kind.CAA, control.domain)]
    if methods.has_record_name(control.domain):
        record = methods.record_name(control.domain)
        found += [Question(Kind.TXT, record), Question(Kind.CNAME, record)]
    return found


def _judged(
    control: DomainControl, answers: Answers, attempt_id: uuid.UUID, now: datetime, rules: DomainRules
) -> DomainCheck:
    """Return the check with the method that proves control, if one does, or the reason why none does."""
    method, quorum, reason = None, "0", "value-expired"
    if control.used_at is None and now < control.valued_at + VALUE_LIFE:
        method, quorum, reason = _proof(control, answers, now, rules)
    return DomainCheck(
        check_id=attempt_id,
        subscriber_id=control.subscriber_id,
        domain=control.domain,
        checked_at=now,
        method=method,
        reason=None if method else reason,
        quorum=quorum,
        caa=answers.of_kind(Kind.CAA).document(),
        seen=answers.of_primary().shortened().document(),
    )


def _proof(control: DomainControl, answers: Answers, now: datetime, rules: DomainRules) -> tuple[str | None, str, str]:
    """Return method and quorum of the proof, or the reason why there is none; the method that CAA permits, of two."""
    reason, counted = "", "0"
    found: list[tuple[str, str]] = []
    for method, kinds in METHODS:
        primary, remotes = answers.verdicts(partial(_shows, control, rules, kinds))
        quorum = rules.quorum(primary, remotes, now)
        if quorum.corroborated:
            found.append((method, quorum.text))
        elif primary:
            reason, counted = NOT_CORROBORATED, quorum.text
    for method, text in found:
        if judge_caa(control.domain, answers, method, now, rules, control.subscriber_id) is None:
            return method, text, ""
    if found:
        return found[0][0], found[0][1], ""
    return None, counted, reason or _why_not(answers)


def _shows(control: DomainControl, rules: DomainRules, kinds: Sequence[Kind], answer: Answer) -> bool:
    seen = [answer.to(kind) for kind in kinds]
    return any(
        each is not None and methods.proves(each, control.random_value, cname_suffix=rules.cname_suffix)
        for each in seen
    )


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
    observation = read_answers(check.caa).seen(Kind.CAA)
    return [] if observation is None else list(caa.iodef(observation))


def _record(tx: Tx, control: DomainControl, check: DomainCheck, answers: Answers) -> None:
    domain_store.add_check(tx.conn, check, answers.document())
    used_at = tx.now if check.method else None
    domain_store.save_checked(tx.conn, control, began_at=check.checked_at, used_at=used_at)
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

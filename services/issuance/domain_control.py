"""Domain control of a subscriber: the domains to be proved, their random values, and checks on request."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.issuance import domain_evidence, domain_store
from services.issuance.ca.validity_policy import domain_reusable_until
from services.issuance.dcv import methods
from services.issuance.dcv.answers import Answers, read_answers
from services.issuance.domain_evidence import DomainRules, Proof
from services.issuance.domain_store import DomainCheck, DomainControl
from services.issuance.refusals import DomainNotFound, TooManyDomains
from shared import audit
from shared.db import Conn
from shared.events.issuance import Obstacle
from shared.pki.names import base_name, covering_domains
from shared.tx import Tx
from shared.vocabulary import SubscriberId
from shared.web.auth import Caller

# BR 3.2.2.4.7 and 3.2.2.4.18: a random value proves nothing after 30 days.
VALUE_LIFE: Final = timedelta(days=30)
# An AR who comes back gets a new value while the old one can still be used for a while, not on its last day.
RENEW_VALUE_AFTER: Final = timedelta(days=25)
MAX_DOMAINS: Final = 2000
CHECK_EVERY: Final = timedelta(seconds=10)

Random = Callable[[int], bytes]


@dataclass(frozen=True, kw_only=True)
class DomainState:
    """A domain as its subscriber sees it; `server_names` are the wanted ones that it is the base name of.

    A DNS change of one of its `parents`, the nearest first, proves control of it, too.
    """

    control: DomainControl
    server_names: tuple[str, ...]
    parents: tuple[str, ...]
    proof: Proof | None
    reusable_until: datetime | None
    last: DomainCheck | None
    seen: Answers | None
    caa: tuple[Obstacle, ...]
    instructions: methods.Instructions

    @property
    def state(self) -> str:
        """One word for it: `checking`, `proved` or `open`."""
        if self.control.due_at is not None:
            return "checking"
        return "proved" if self.proof is not None else "open"

    @property
    def value_until(self) -> datetime:
        """The end of the random value: one whose proof may no longer be reused has ended with its use."""
        if self.proof is None and self.control.used_at is not None:
            return self.control.used_at
        return self.control.valued_at + VALUE_LIFE


def begin(
    tx: Tx,
    subscriber_id: SubscriberId,
    names: Iterable[str],
    *,
    keep_for: timedelta = RENEW_VALUE_AFTER,
    random: Random = secrets.token_bytes,
) -> None:
    """Give every domain of these server names a random value, unless it has one that is not older than `keep_for`.

    A value that has proved control is replaced once a name lacks a proof: each value proves control once, and what a
    file proved covers no wildcard.
    """
    wanted = _by_domain(names)
    proofs = domain_evidence.find_proofs(tx.conn, subscriber_id, wanted, tx.now)
    for domain in sorted(wanted):
        control = DomainControl(
            subscriber_id=subscriber_id, domain=domain, random_value=methods.random_value(random), valued_at=tx.now
        )
        replace_before = tx.now - keep_for
        replace_used = not all(domain_evidence.proofs_for(name, proofs) for name in wanted[domain])
        if domain_store.add_control(tx.conn, control, replace_before=replace_before, replace_used=replace_used):
            audit.record(
                tx,
                actor="issuance",
                action="domain-value-made",
                subject=domain,
                details={"subscriber_id": subscriber_id},
            )


def begin_own(tx: Tx, names: Iterable[str], caller: Caller) -> None:
    """Begin domains for their AR. Raises TooManyDomains: orders may need more, but nobody asks for more by hand."""
    domain_store.lock_subscriber(tx.conn, caller.subscriber_id)
    before = domain_store.count_controls(tx.conn, caller.subscriber_id)
    begin(tx, caller.subscriber_id, names)
    if before < (after := domain_store.count_controls(tx.conn, caller.subscriber_id)) > MAX_DOMAINS:
        raise TooManyDomains(f"{after} domains of one subscriber: at most {MAX_DOMAINS}")


def ask_checks(tx: Tx, subscriber_id: SubscriberId, names: Sequence[str]) -> None:
    """Have the domains of names looked at that an order waits for; each gets a random value if it has none in force.

    The AR may be at work with the one that is, so it is kept to its end.
    """
    begin(tx, subscriber_id, names, keep_for=VALUE_LIFE)
    for domain in sorted(_by_domain(names)):
        domain_store.ask_check(tx.conn, subscriber_id, domain, tx.now)


def check_now(tx: Tx, domain: str, caller: Caller) -> None:
    """Have one domain looked at for its AR, not more often than every `CHECK_EVERY`. Raises DomainNotFound."""
    if domain not in domain_store.find_controls(tx.conn, caller.subscriber_id, [domain]):
        raise DomainNotFound("there is no such domain")
    last = domain_store.latest_checks(tx.conn, caller.subscriber_id, [domain]).get(domain)
    at = tx.now if last is None else max(tx.now, last.checked_at + CHECK_EVERY)
    domain_store.ask_check_again(tx.conn, caller.subscriber_id, domain, now=tx.now, at=at)


def find_states(
    conn: Conn, subscriber_id: SubscriberId, names: Sequence[str], now: datetime, rules: DomainRules
) -> list[DomainState]:
    """Return the state of each domain of these server names that has a random value, in alphabetical order."""
    wanted = _by_domain(names)
    controls = domain_store.find_controls(conn, subscriber_id, sorted(wanted))
    proofs = domain_evidence.find_proofs(conn, subscriber_id, wanted, now)
    checks = domain_store.latest_checks(conn, subscriber_id, sorted(wanted))
    return [
        _state(controls[domain], tuple(wanted[domain]), proofs, checks.get(domain), now, rules)
        for domain in sorted(controls)
    ]


def _by_domain(names: Iterable[str]) -> dict[str, list[str]]:
    domains: dict[str, list[str]] = {}
    for name in names:
        domains.setdefault(base_name(name) or name, []).append(name)
    return domains


def _state(
    control: DomainControl,
    names: tuple[str, ...],
    proofs: Sequence[Proof],
    last: DomainCheck | None,
    now: datetime,
    rules: DomainRules,
) -> DomainState:
    found = [next(iter(domain_evidence.proofs_for(name, proofs)), None) for name in names]
    proof = None if None in found else min((each for each in found if each), key=lambda each: each.proved_at)
    seen = None if last is None else read_answers(last.seen)
    answers = None if last is None else read_answers(last.caa)
    method = proof.method if proof else methods.DNS_CHANGE
    judged = (
        []
        if answers is None
        else [domain_evidence.judge_caa(name, answers, method, now, rules, control.subscriber_id) for name in names]
    )
    return DomainState(
        control=control,
        server_names=names,
        parents=covering_domains(control.domain)[1:],
        proof=proof,
        reusable_until=None if proof is None else domain_reusable_until(proof.proved_at),
        last=last,
        seen=seen,
        caa=tuple(obstacle for obstacle in judged if obstacle is not None),
        instructions=methods.instructions(control.domain, control.random_value, cname_suffix=rules.cname_suffix),
    )

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
from shared.pki.names import base_name
from shared.tx import Tx
from shared.vocabulary import SubscriberId
from shared.web.auth import Caller

# BR 3.2.2.4.7 and 3.2.2.4.18: a random value proves nothing after 30 days.
VALUE_LIFE: Final = timedelta(days=30)
# An AR who comes back gets a new value while the old one can still be used for a while, not on its last day.
RENEW_VALUE_AFTER: Final = timedelta(days=25)
MAX_DOMAINS: Final = 2000

Random = Callable[[int], bytes]


@dataclass(frozen=True, kw_only=True)
class DomainState:
    """A domain as its subscriber sees it; `server_names` are the wanted ones that it is the base name of."""

    control: DomainControl
    server_names: tuple[str, ...]
    proof: Proof | None
    reusable_until: datetime | None
    last: DomainCheck | None
    answers: Answers | None
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
        """The end of the random value."""
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

    Raises TooManyDomains.
    """
    for domain in sorted({base_name(name) or name for name in names}):
        control = DomainControl(
            subscriber_id=subscriber_id, domain=domain, random_value=methods.random_value(random), valued_at=tx.now
        )
        if domain_store.add_control(tx.conn, control, replace_before=tx.now - keep_for):
            audit.record(
                tx,
                actor="issuance",
                action="domain-value-made",
                subject=domain,
                details={"subscriber_id": subscriber_id},
            )
    if domain_store.count_controls(tx.conn, subscriber_id) > MAX_DOMAINS:
        raise TooManyDomains(f"at most {MAX_DOMAINS} domains of one subscriber")


def ask_checks(tx: Tx, subscriber_id: SubscriberId, domains: Sequence[str]) -> None:
    """Have domains looked at that an order waits for; each gets a random value if it has none in force.

    The AR may be at work with the one that is, so it is kept to its end.
    """
    begin(tx, subscriber_id, domains, keep_for=VALUE_LIFE)
    for domain in sorted(domains):
        domain_store.ask_check(tx.conn, subscriber_id, domain, tx.now)


def check_now(tx: Tx, domain: str, caller: Caller) -> None:
    """Have one domain looked at for its AR. Raises DomainNotFound."""
    if domain not in domain_store.find_controls(tx.conn, caller.subscriber_id, [domain]):
        raise DomainNotFound("there is no such domain")
    domain_store.ask_check(tx.conn, caller.subscriber_id, domain, tx.now)


def find_states(
    conn: Conn, subscriber_id: SubscriberId, names: Sequence[str], now: datetime, rules: DomainRules
) -> list[DomainState]:
    """Return the state of each domain of these server names that has a random value, in alphabetical order."""
    wanted: dict[str, list[str]] = {}
    for name in names:
        wanted.setdefault(base_name(name) or name, []).append(name)
    controls = domain_store.find_controls(conn, subscriber_id, sorted(wanted))
    proofs = domain_evidence.find_proofs(conn, subscriber_id, wanted, now)
    checks = domain_store.latest_checks(conn, subscriber_id, sorted(wanted))
    return [
        _state(controls[domain], tuple(wanted[domain]), proofs, checks.get(domain), now, rules)
        for domain in sorted(controls)
    ]


def _state(
    control: DomainControl,
    names: tuple[str, ...],
    proofs: Sequence[Proof],
    last: DomainCheck | None,
    now: datetime,
    rules: DomainRules,
) -> DomainState:
    found = [domain_evidence.proof_for(name, proofs) for name in names]
    proof = None if None in found else min((each for each in found if each), key=lambda each: each.proved_at)
    answers = None if last is None else read_answers(last.reports)
    method = proof.method if proof else "7"
    judged = (
        []
        if answers is None
        else [domain_evidence.judge_caa(name, answers, method, now, rules, control.subscriber_id) for name in names]
    )
    return DomainState(
        control=control,
        server_names=names,
        proof=proof,
        reusable_until=None if proof is None else domain_reusable_until(proof.proved_at),
        last=last,
        answers=answers,
        caa=tuple(obstacle for obstacle in judged if obstacle is not None),
        instructions=methods.instructions(control.domain, control.random_value, cname_suffix=rules.cname_suffix),
    )

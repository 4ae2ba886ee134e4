"""Evidence about domains: whether every name of a certificate is proved and permitted now, and what is missing.

Proof of control may be reused as long as the dated table says (BR 4.2.1), an answer about CAA for its TTL or eight
hours, whichever is longer (BR 3.2.2.8). Both are judged here, again at every signing, from the stored answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.issuance import domain_store
from services.issuance.ca.validity_policy import domain_reusable
from services.issuance.dcv import caa, methods
from services.issuance.dcv.answers import Answer, Answers, read_answers
from services.issuance.dcv.quorum import Quorum
from services.issuance.domain_store import DomainCheck
from shared.db import Conn
from shared.events.issuance import Obstacle
from shared.pki.names import base_name, covering_domains
from shared.pki.observations import Kind
from shared.vocabulary import SubscriberId

# Not looked at for longer, a domain with an obstacle is looked at once more before its order is said to be delayed.
RECENT: Final = timedelta(minutes=1)
CAA_LIFE: Final = timedelta(hours=8)
# However long a stranger's TTL is.
MAX_CAA_LIFE: Final = timedelta(days=1)
NOT_CORROBORATED: Final = "not-corroborated"


@dataclass(frozen=True, kw_only=True)
class DomainRules:
    """Rules by which answers are judged: our names in CAA records, the suffix of a CNAME's target, the quorum."""

    issuer_domains: tuple[str, ...]
    cname_suffix: str
    quorum: Callable[[bool, Mapping[str, bool], datetime], Quorum]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Control of a domain, proved at a time by a method; `domain` may be a parent of the server name."""

    domain: str
    method: str
    proved_at: datetime


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Findings about the examined names: the obstacles, the domains they are about, and the checks they rest on."""

    names: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    domains: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.obstacles


def examine(
    conn: Conn, subscriber_id: SubscriberId, names: Sequence[str], now: datetime, rules: DomainRules
) -> Evidence:
    """Return what is missing for a certificate of these names, wildcards and base names among them, signed now.

    `stale` are the names with an obstacle whose domains nobody has looked at recently.
    """
    domains = sorted(set(map(_domain, names)))
    proofs = find_proofs(conn, subscriber_id, domains, now)
    checks = domain_store.latest_checks(conn, subscriber_id, domains)
    obstacles: list[Obstacle] = []
    concerned: set[str] = set()
    for name in names:
        domain = _domain(name)
        obstacle = _obstacle(name, checks.get(domain), proofs_for(name, proofs), now, rules, subscriber_id)
        if obstacle is not None:
            concerned.add(domain)
            obstacles.append(obstacle)
    return Evidence(
        names=tuple(names),
        obstacles=tuple(obstacles),
        domains=tuple(sorted(concerned)),
        stale=tuple(each.server_name for each in obstacles if _is_stale(checks.get(_domain(each.server_name)), now)),
        checks=tuple(f"{each.domain}: {each.check_id} {each.quorum}" for each in checks.values()),
    )


def _domain(name: str) -> str:
    return base_name(name) or name


def _is_stale(last: DomainCheck | None, now: datetime) -> bool:
    return last is None or last.checked_at < now - RECENT


def find_proofs(conn: Conn, subscriber_id: SubscriberId, domains: Iterable[str], now: datetime) -> list[Proof]:
    """Return the proofs in force of these domains and of those that cover them."""
    wanted = sorted({covering for domain in domains for covering in covering_domains(domain)})
    found = domain_store.latest_proofs(conn, subscriber_id, wanted)
    return [
        Proof(domain=domain, method=method, proved_at=proved_at)
        for (domain, method), proved_at in sorted(found.items())
        if domain_reusable(proved_at, now)
    ]


def proofs_for(name: str, proofs: Sequence[Proof]) -> list[Proof]:
    """Return the proofs that cover this server name, the youngest first."""
    covering = [proof for proof in proofs if methods.covers(proof.method, proof.domain, name)]
    return sorted(covering, key=lambda proof: proof.proved_at, reverse=True)


def _obstacle(
    name: str,
    last: DomainCheck | None,
    proofs: Sequence[Proof],
    now: datetime,
    rules: DomainRules,
    subscriber_id: SubscriberId,
) -> Obstacle | None:
    if not proofs:
        reason = last.reason if last is not None and last.reason else "not-proved"
        return Obstacle(server_name=name, kind="validation", reason=reason)
    if last is None:
        return Obstacle(server_name=name, kind="caa", reason="not-checked")
    answers = read_answers(last.caa)
    if not caa_in_force(last.checked_at, answers, now):
        return Obstacle(server_name=name, kind="caa", reason="not-checked")
    # Any method that CAA permits will do (RFC 8657): the domain may be proved by more than one.
    judged = [judge_caa(name, answers, proof.method, now, rules, subscriber_id) for proof in proofs]
    return None if None in judged else judged[0]


def caa_in_force(checked_at: datetime, answers: Answers, now: datetime) -> bool:
    """Return whether answers about CAA may still be used: for the TTL or eight hours, whichever is longer."""
    seen = answers.seen(Kind.CAA)
    if seen is None:
        return False
    life = min(max(timedelta(seconds=seen.ttl), CAA_LIFE), MAX_CAA_LIFE)
    return checked_at <= now <= checked_at + life


def judge_caa(
    name: str, answers: Answers, method: str, now: datetime, rules: DomainRules, subscriber_id: SubscriberId
) -> Obstacle | None:
    """Return what the CAA records, as all perspectives saw them, have against this name; None if they permit it."""

    def decide(answer: Answer) -> caa.Decision:
        observation = answer.to(Kind.CAA)
        if observation is None:
            return caa.Decision(permitted=False, reason=answer.failure or "not-checked")
        return caa.decide(
            observation,
            name=name,
            issuer_domains=rules.issuer_domains,
            accounts=tuple(f"acct:{subscriber_id}@{domain}" for domain in rules.issuer_domains),
            method=method,
        )

    primary, remotes = answers.verdicts(lambda answer: decide(answer).permitted)
    if not primary:
        decision = decide(answers.by[answers.primary])
        return Obstacle(server_name=name, kind="caa", reason=decision.reason or "caa-forbids", record=decision.record)
    if not rules.quorum(primary, remotes, now).corroborated:
        return Obstacle(server_name=name, kind="caa", reason=NOT_CORROBORATED)
    return None

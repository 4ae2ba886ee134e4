"""Evidence about domains: whether every name of a certificate is proved and permitted now, and what is missing.

Proof of control may be reused as long as the dated table says (BR 4.2.1), an answer about CAA for its TTL or eight
hours, whichever is longer (BR 3.2.2.8). Both are judged here, again at every signing, from the stored answers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

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
    check_id: UUID
    quorum: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Findings about the examined names: the obstacles, the domains they are about, and the checks they rest on.

    `checks` says of each name whose control is proved by which check, and in which its CAA records were read, each with
    its quorum (BR 5.4.1).
    """

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
    judged = [
        _judged(name, checks.get(_domain(name)), proofs_for(name, proofs), now, rules, subscriber_id) for name in names
    ]
    obstacles = [obstacle for obstacle, _ in judged if obstacle is not None]
    return Evidence(
        names=tuple(names),
        obstacles=tuple(obstacles),
        domains=tuple(sorted({_domain(each.server_name) for each in obstacles})),
        stale=tuple(each.server_name for each in obstacles if _is_stale(checks.get(_domain(each.server_name)), now)),
        checks=tuple(checks for _, checks in judged if checks),
    )


def absent_at(conn: Conn, subscriber_id: SubscriberId, names: Sequence[str], at: datetime) -> Iterator[Obstacle]:
    """Yield what the books lack for a certificate of these names made at that moment: a proof, an answer about CAA.

    What the answers said was judged then, by the rules and perspectives of that day, and is not judged again.
    """
    domains = sorted(set(map(_domain, names)))
    proofs = find_proofs(conn, subscriber_id, domains, at)
    checks = domain_store.latest_checks(conn, subscriber_id, domains, at)
    for name in names:
        if not proofs_for(name, proofs):
            yield Obstacle(server_name=name, kind="validation", reason="not-proved")
        last = checks.get(_domain(name))
        if last is None or not caa_in_force(last.checked_at, read_answers(last.caa), at):
            yield Obstacle(server_name=name, kind="caa", reason="not-checked")


def _domain(name: str) -> str:
    return base_name(name) or name


def _is_stale(last: DomainCheck | None, now: datetime) -> bool:
    return last is None or last.checked_at < now - RECENT


def find_proofs(conn: Conn, subscriber_id: SubscriberId, domains: Iterable[str], now: datetime) -> list[Proof]:
    """Return the proofs in force of these domains and of those that cover them."""
    wanted = sorted({covering for domain in domains for covering in covering_domains(domain)})
    found = domain_store.latest_proofs(conn, subscriber_id, wanted, now)
    return [
        Proof(
            domain=each.domain,
            method=each.method,
            proved_at=each.checked_at,
            check_id=each.check_id,
            quorum=each.quorum,
        )
        for each in found
        if domain_reusable(each.checked_at, now)
    ]


def proofs_for(name: str, proofs: Sequence[Proof]) -> list[Proof]:
    """Return the proofs that cover this server name, the youngest first."""
    covering = [proof for proof in proofs if methods.covers(proof.method, proof.domain, name)]
    return sorted(covering, key=lambda proof: proof.proved_at, reverse=True)


def _judged(
    name: str,
    last: DomainCheck | None,
    proofs: Sequence[Proof],
    now: datetime,
    rules: DomainRules,
    subscriber_id: SubscriberId,
) -> tuple[Obstacle | None, str]:
    """Return what the name lacks, and the checks by which its control is proved and its CAA was judged, if it was."""
    if not proofs:
        reason = last.reason if last is not None and last.reason else "not-proved"
        return Obstacle(server_name=name, kind="validation", reason=reason), ""
    answers = None if last is None else read_answers(last.caa)
    if last is None or answers is None or not caa_in_force(last.checked_at, answers, now):
        return Obstacle(server_name=name, kind="caa", reason="not-checked"), ""
    # Any method that CAA permits will do (RFC 8657): the domain may be proved by more than one.
    judged = [judge_with_quorum(name, answers, proof.method, now, rules, subscriber_id) for proof in proofs]
    place = next((place for place, (obstacle, _) in enumerate(judged) if obstacle is None), 0)
    proof, (obstacle, quorum) = proofs[place], judged[place]
    control = f"{proof.domain} by 3.2.2.4.{proof.method} {proof.check_id} {proof.quorum}"
    return obstacle, f"{name}: control of {control}, CAA {last.check_id} {quorum}"


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
    obstacle, _ = judge_with_quorum(name, answers, method, now, rules, subscriber_id)
    return obstacle


def judge_with_quorum(
    name: str, answers: Answers, method: str, now: datetime, rules: DomainRules, subscriber_id: SubscriberId
) -> tuple[Obstacle | None, str]:
    """Return the same as `judge_caa`, and how many of the remote perspectives saw that the records permit the name."""

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
    quorum = rules.quorum(primary, remotes, now)
    if not primary:
        decision = decide(answers.by[answers.primary])
        reason = decision.reason or "caa-forbids"
        return Obstacle(server_name=name, kind="caa", reason=reason, record=decision.record), quorum.text
    if not quorum.corroborated:
        return Obstacle(server_name=name, kind="caa", reason=NOT_CORROBORATED), quorum.text
    return None, quorum.text

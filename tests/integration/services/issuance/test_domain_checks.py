"""Checks of domains: whose is next, what a check may be used for, and what a hostile zone or AR does to others."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import pytest

from services.issuance import domain_checks, domain_control, domain_store
from services.issuance.dcv import methods
from services.issuance.dcv.perspectives import Failure
from services.issuance.domain_checks import CheckDeps, check_next, questions
from services.issuance.domain_control import CHECK_EVERY
from services.issuance.domain_evidence import CAA_LIFE
from services.issuance.domain_store import DomainControl
from shared.events.issuance import IssuanceDelayed
from shared.pki.observations import CAARecord, Inquiry, Kind, Question, Report, read_inquiry
from shared.vocabulary import SubscriberId
from tests.integration.services.issuance.test_domain_evidence import (
    WWW,
    blind,
    bogus,
    caa,
    down,
    is_issued,
    look_again,
    obstacles,
    put,
    unproved,
    value_of,
)
from tests.integration.services.issuance.world import Renewal, World
from tests.integration.services.issuance.zone import REMOTES, RULES

ONE, OTHER = SubscriberId("SUB-1"), SubscriberId("SUB-2")


def begun(world: World, subscriber: SubscriberId, *domains: str) -> None:
    """Begin domains, each with a check that is due."""
    with world.begin() as tx:
        domain_control.begin(tx, subscriber, domains)
        for domain in domains:
            domain_store.ask_check(tx.conn, subscriber, domain, tx.now)


def checked(world: World) -> list[tuple[str, str]]:
    """Return subscriber and domain of all checks, in their order."""
    return [(s, d) for s, d in world.rows("SELECT subscriber_id, domain FROM domain_checks ORDER BY checked_at")]


def while_looking(world: World, happens: Callable[[], None]) -> None:
    """Have something happen while the perspectives look."""
    look = world.zone.observe

    def observe(questions: Sequence[Question], attempt_id: uuid.UUID) -> Mapping[str, Report | Failure]:
        happens()
        return look(questions, attempt_id)

    world.zone.observe = observe  # type: ignore[method-assign]  # of this one zone


def later(world: World, **by: float) -> Callable[[], None]:
    def move() -> None:
        world.now += timedelta(**by)

    return move


def test_subscriber_served_longest_ago_is_next(world: World) -> None:
    begun(world, ONE, *(f"a{number}.example.hk" for number in range(5)))
    world.now += timedelta(seconds=1)
    begun(world, OTHER, "b.example.hk")
    while_looking(world, later(world, seconds=1))
    while world.check():
        pass
    assert [subscriber for subscriber, _ in checked(world)] == [ONE, OTHER, ONE, ONE, ONE, ONE]


def test_one_check_of_a_subscriber_is_under_way_at_a_time(world: World) -> None:
    begun(world, ONE, "a.example.hk", "b.example.hk")
    others: list[bool] = []

    def another_worker() -> None:
        deps = CheckDeps(perspectives=type(world.zone)(), rules=RULES)
        others.append(check_next(world.pool, deps, clock=world.clock))

    while_looking(world, another_worker)
    assert world.check()
    assert others == [False]


def test_interrupted_check_is_claimed_again_among_new_ones(world: World) -> None:
    begun(world, ONE, "a.example.hk")
    with world.begin() as tx:
        assert domain_store.claim_due_control(tx.conn, tx.now, domain_checks.LEASE)
    world.now += domain_checks.LEASE + timedelta(seconds=1)
    begun(world, OTHER, "b.example.hk", "c.example.hk")
    assert world.check()
    assert world.check()
    assert (ONE, "a.example.hk") in checked(world)


def test_order_of_many_slow_domains_is_announced_after_one_look_at_each(world: World) -> None:
    names = [f"w{number:02}.example.hk" for number in range(50)]
    renewal = world.opened(names, proved=False)
    world.submit(renewal)
    while_looking(world, later(world, seconds=3))
    for _ in range(60):
        world.issue_once()
        world.check()
    world.issue_once()
    assert len(checked(world)) == len(names)
    assert len(obstacles(world, renewal)) == 1
    assert len(obstacles(world, renewal)[0]) == len(names)


def test_check_asked_for_while_one_is_under_way_follows_it(world: World) -> None:
    begun(world, ONE, WWW)

    def ar_mends_the_record() -> None:
        if world.zone.asked == 0:
            world.now += timedelta(seconds=1)
            with world.begin() as tx:
                domain_control.check_now(tx, WWW, Renewal(items=()).caller)

    while_looking(world, ar_mends_the_record)
    assert world.check()
    put(world)
    assert world.check()
    assert world.rows("SELECT method FROM domain_checks WHERE method IS NOT NULL") == [("7",)]
    assert not world.check()


def test_domain_is_not_looked_at_again_within_seconds(world: World) -> None:
    begun(world, ONE, WWW)
    assert world.check()
    with world.begin() as tx:
        domain_control.check_now(tx, WWW, Renewal(items=()).caller)
    assert not world.check()
    world.now += CHECK_EVERY
    assert world.check()


def test_answer_is_as_old_as_the_question(world: World) -> None:
    began = world.now
    begun(world, ONE, WWW)
    while_looking(world, later(world, seconds=20))
    assert world.check()
    assert world.rows("SELECT checked_at FROM domain_checks") == [(began,)]


def test_random_value_proves_control_once(world: World) -> None:
    world.issued([WWW])
    [(proved_at,)] = world.rows("SELECT checked_at FROM domain_checks WHERE method IS NOT NULL")
    value = value_of(world)
    world.now += timedelta(days=1)
    second = unproved(world)
    assert is_issued(world, second)
    assert world.rows("SELECT checked_at FROM domain_checks WHERE method IS NOT NULL") == [(proved_at,)]
    assert world.rows("SELECT reason FROM domain_checks ORDER BY checked_at DESC LIMIT 1") == [("value-expired",)]
    world.now += timedelta(days=365)
    assert not is_issued(world, unproved(world))
    assert value_of(world) != value


@pytest.mark.parametrize("length", [241, 242, 253])
def test_domain_of_any_length_can_be_asked_for(world: World, length: int) -> None:
    domain = ("a" * 60 + ".") * 4 + "b" * (length - 4 * 61 - 3) + ".hk" if length > 247 else ""
    domain = domain or ("a" * 60 + ".") * 3 + "b" * (length - 3 * 61 - 3) + ".hk"
    assert len(domain) == length
    control = DomainControl(subscriber_id=ONE, domain=domain, random_value="v" * 32, valued_at=world.now)
    asked = tuple(questions(control))
    sent = Inquiry(attempt_id=uuid.uuid4(), questions=asked)

    assert read_inquiry(json.dumps(sent.document()).encode()).questions == asked
    assert ({each.kind for each in asked} >= {Kind.TXT, Kind.CNAME}) is methods.has_record_name(domain)


def test_order_beyond_the_limit_of_domains_is_issued(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_control, "MAX_DOMAINS", 0)
    renewal = unproved(world)
    put(world)
    look_again(world)
    assert is_issued(world, renewal)


def test_long_record_of_a_stranger_is_cut(world: World) -> None:
    names = [f"w{number:02}.example.hk" for number in range(50)]
    renewal = world.opened(names)
    for name in names:
        world.zone.caa[name] = (CAARecord(0, "issue", '"' * 8000),)
    world.now += timedelta(hours=8, seconds=1)
    world.submit(renewal)
    world.issue()
    [delayed] = [each for each in world.announced(renewal.renewal_id) if isinstance(each, IssuanceDelayed)]
    assert len(delayed.obstacles) == len(names)
    assert max(len(each.record or "") for each in delayed.obstacles) < 400


def test_method_that_caa_permits_is_taken_of_two(world: World) -> None:
    renewal = unproved(world)
    put(world)
    put(world, kind=Kind.FILE)
    caa(world, "hongkongpost.gov.hk; validationmethods=ca-tbr-18")
    look_again(world)
    assert is_issued(world, renewal)
    assert world.rows("SELECT method FROM domain_checks WHERE method IS NOT NULL") == [("18",)]


def test_texts_of_a_failed_check_are_cut(world: World) -> None:
    begun(world, ONE, WWW)
    world.zone.records[Question(Kind.TXT, f"_validation.{WWW}")] = tuple("x" * 4000 for _ in range(2))
    assert world.check()
    [(size,)] = world.rows("SELECT length(reports::text) FROM domain_checks")
    assert size < 20_000


def test_audit_notes_where_a_domain_wants_refusals_reported(world: World) -> None:
    begun(world, ONE, WWW)
    forbids = CAARecord(0, "issue", ";")
    world.zone.caa[WWW] = (forbids, CAARecord(0, "iodef", "mailto:security@example.hk"))
    assert world.check()
    [(details,)] = world.rows("SELECT details FROM audit_log WHERE action = 'domain-checked'")
    assert details["iodef"] == ["mailto:security@example.hk"]


def test_audit_names_the_checks_on_which_a_certificate_rests(world: World) -> None:
    """The proof, and the later check that was for CAA alone; two names of one domain may have different quorums."""
    renewal = world.opened(["*.example.hk"])
    world.now += CAA_LIFE + timedelta(seconds=1)
    world.zone.caa_at = {REMOTES[0]: {"example.hk": (CAARecord(0, "issuewild", ";"),)}}
    world.submit(renewal)
    world.issue()
    [(proved,), (looked,)] = world.rows("SELECT check_id::text FROM domain_checks ORDER BY checked_at")
    [(details,)] = world.rows("SELECT details FROM audit_log WHERE action = 'intent-made'")
    control = f"control of example.hk by 3.2.2.4.7 {proved} 5/5"
    assert details["domain_checks"] == [
        f"*.example.hk: {control}, CAA {looked} 4/5",
        f"example.hk: {control}, CAA {looked} 5/5",
    ]


def test_audit_names_the_quorum_of_caa_that_delays_an_order(world: World) -> None:
    unproved(world)
    put(world)
    world.zone.caa_at = {name: {WWW: (CAARecord(0, "issue", ";"),)} for name in REMOTES[:2]}
    look_again(world)
    [(proved,)] = world.rows("SELECT check_id::text FROM domain_checks WHERE method IS NOT NULL")
    [(details,)] = world.rows(
        "SELECT details FROM audit_log WHERE action = 'issuance-delayed' ORDER BY id DESC LIMIT 1"
    )
    assert details["obstacles"] == [f"{WWW}: caa: not-corroborated"]
    assert details["domain_checks"] == [f"{WWW}: control of {WWW} by 3.2.2.4.7 {proved} 5/5, CAA {proved} 3/5"]


def counts() -> dict[str, float]:
    """Return the checks so far by reason, without those that were never counted."""
    samples = next(iter(domain_checks.CHECKED.collect())).samples
    return {each.labels["reason"]: each.value for each in samples if each.name.endswith("_total")}


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (put, "none"),
        (lambda world: None, "record-missing"),
        (lambda world: put(world, value="x" * 32), "another-value"),
        (bogus, "dns-bogus"),
        (down("hkg"), "perspective-timed-out"),
        (blind(*REMOTES[:2]), "not-corroborated"),
    ],
)
def test_check_is_counted_by_its_reason(world: World, arrange: Callable[[World], None], reason: str) -> None:
    begun(world, ONE, WWW)
    arrange(world)
    before = counts()
    assert world.check()
    assert {each: count - before[each] for each, count in counts().items() if count != before[each]} == {reason: 1}


def test_reason_without_a_label_of_its_own_is_counted_as_other() -> None:
    assert domain_checks.counted_as("text of a stranger") == "other"

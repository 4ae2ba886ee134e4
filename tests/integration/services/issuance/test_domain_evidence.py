"""Domain control and CAA before the signature: what each finding does to an order, and when it is announced."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.issuance import check_caa, domain_control, domain_store
from services.issuance.dcv import methods
from services.issuance.domain_checks import CheckDeps
from services.issuance.domain_control import RENEW_VALUE_AFTER, VALUE_LIFE
from services.issuance.domain_evidence import CAA_LIFE
from shared.events.issuance import IssuanceDelayed, Obstacle
from shared.pki.observations import CAARecord, Kind, Question, Reason
from shared.vocabulary import SubscriberId
from tests.integration.services.issuance.world import Renewal, World
from tests.integration.services.issuance.zone import REMOTES, RULES
from tests.support.reports import row_of

WWW = "www.example.hk"
TXT = Question(Kind.TXT, f"_validation.{WWW}")


def value_of(world: World, domain: str = WWW) -> str:
    [[value]] = world.rows("SELECT random_value FROM domain_controls WHERE domain = %s", domain)
    return str(value)


def unproved(world: World, *names: str, **fields: str) -> Renewal:
    """Return a renewal whose CSR is received and whose domains nobody has proved."""
    renewal = world.opened([*names] or [WWW], proved=False, **fields)
    world.submit(renewal)
    world.issue()
    return renewal


def obstacles(world: World, renewal: Renewal) -> list[tuple[Obstacle, ...]]:
    """Return the obstacles of each announcement."""
    return [each.obstacles for each in world.announced(renewal.renewal_id) if isinstance(each, IssuanceDelayed)]


def is_issued(world: World, renewal: Renewal) -> bool:
    return "certificate-issued" in world.announced_types(renewal.renewal_id)


def look_again(world: World) -> None:
    """Let the time pass after which waiting orders are examined again, in any order."""
    world.now += timedelta(minutes=2)
    while world.issue():
        pass


def put(world: World, *, kind: Kind = Kind.TXT, domain: str = WWW, value: str | None = None) -> None:
    """Put the random value of a domain, or another one, where the AR may."""
    found = value or value_of(world, domain)
    name = domain if kind is Kind.FILE else methods.record_name(domain)
    target = f"{found}.dcv.ecert.example.hk"
    world.zone.records[Question(kind, name)] = (target if kind is Kind.CNAME else found,)


def caa(world: World, value: str, *, tag: str = "issue", flags: int = 0, name: str = WWW) -> None:
    world.zone.caa[name] = (CAARecord(flags=flags, tag=tag, value=value),)


@pytest.mark.parametrize("kind", [Kind.TXT, Kind.CNAME, Kind.FILE])
def test_control_proved_at_any_place_issues_the_certificate(world: World, kind: Kind) -> None:
    renewal = unproved(world)
    put(world, kind=kind)
    look_again(world)
    assert is_issued(world, renewal)
    [[method, quorum]] = world.rows("SELECT method, quorum FROM domain_checks WHERE method IS NOT NULL")
    assert (method, quorum) == ("18" if kind is Kind.FILE else "7", "5/5")


def blind(*names: str) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        put(world)
        world.zone.blind = set(names)

    return arrange


def down(*names: str) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        put(world)
        world.zone.down = set(names)

    return arrange


def bogus(world: World) -> None:
    world.zone.failing[TXT] = Reason.BOGUS


def last_month(world: World) -> None:
    put(world)
    world.now += VALUE_LIFE + timedelta(seconds=1)


def forbidden(world: World) -> None:
    put(world)
    caa(world, "ca.example.net")


def critical(world: World) -> None:
    put(world)
    caa(world, "x", tag="future", flags=128)


def other_method(world: World) -> None:
    put(world)
    caa(world, "hongkongpost.gov.hk; validationmethods=ca-tbr-18")


def other_account(world: World) -> None:
    put(world)
    caa(world, "hongkongpost.gov.hk; accounturi=acct:SUB-2@hongkongpost.gov.hk")


def caa_bogus(world: World) -> None:
    put(world)
    world.zone.failing[Question(Kind.CAA, WWW)] = Reason.BOGUS


@pytest.mark.parametrize(
    ("arrange", "kind", "reason", "record"),
    [
        (lambda world: None, "validation", "record-missing", None),
        (lambda world: put(world, value="x" * 32), "validation", "another-value", None),
        (bogus, "validation", "dns-bogus", None),
        (last_month, "validation", "another-value", None),
        (blind("hkg"), "validation", "record-missing", None),
        (blind(*REMOTES[:2]), "validation", "not-corroborated", None),
        (down(*REMOTES[:2]), "validation", "not-corroborated", None),
        (down("hkg"), "validation", "perspective-timed-out", None),
        (forbidden, "caa", "caa-other-issuer", f'{WWW} CAA 0 issue "ca.example.net"'),
        (critical, "caa", "caa-unknown-critical-tag", f'{WWW} CAA 128 future "x"'),
        (
            other_method,
            "caa",
            "caa-other-method",
            f'{WWW} CAA 0 issue "hongkongpost.gov.hk; validationmethods=ca-tbr-18"',
        ),
        (
            other_account,
            "caa",
            "caa-other-account",
            f'{WWW} CAA 0 issue "hongkongpost.gov.hk; accounturi=acct:SUB-2@hongkongpost.gov.hk"',
        ),
        (caa_bogus, "caa", "dns-bogus", None),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_obstacle_delays_the_order_and_is_announced_once(
    world: World, arrange: Callable[[World], None], kind: str, reason: str, record: str | None
) -> None:
    renewal = unproved(world)
    arrange(world)
    for _ in range(3):
        look_again(world)
    expected = Obstacle(server_name=WWW, kind=kind, reason=reason, record=record)
    assert obstacles(world, renewal)[-1] == (expected,)
    assert len(obstacles(world, renewal)) == len(set(obstacles(world, renewal)))
    assert not is_issued(world, renewal)
    assert world.rows("SELECT 1 FROM intents") == []
    [order] = world.client_orders(renewal)
    assert order["state"] == "csr-received"
    assert order["obstacles"] == [vars(expected)]


def test_value_older_than_30_days_proves_nothing(world: World) -> None:
    subscriber = SubscriberId("SUB-1")
    with world.begin() as tx:
        domain_control.begin(tx, subscriber, [WWW])
    put(world)
    world.now += VALUE_LIFE
    with world.begin() as tx:
        domain_store.ask_check(tx.conn, subscriber, WWW, tx.now)
    assert world.check()
    assert world.rows("SELECT method, reason FROM domain_checks") == [(None, "value-expired")]


@pytest.mark.parametrize(("seconds", "kept"), [(0, True), (1, False)])
def test_ar_who_comes_back_gets_a_value_with_some_life_left(world: World, seconds: int, kept: bool) -> None:
    values = []
    for _ in range(2):
        with world.begin() as tx:
            domain_control.begin(tx, SubscriberId("SUB-1"), [WWW])
        values.append(value_of(world))
        world.now += RENEW_VALUE_AFTER + timedelta(seconds=seconds)
    assert (values[0] == values[1]) is kept


@pytest.mark.parametrize("arrange", [blind("fra"), down("fra")], ids=["sees nothing", "does not answer"])
def test_one_remote_perspective_of_five_may_fail(world: World, arrange: Callable[[World], None]) -> None:
    renewal = unproved(world)
    arrange(world)
    look_again(world)
    assert is_issued(world, renewal)


def test_file_proves_neither_wildcards_nor_subdomains(world: World) -> None:
    wildcard = unproved(world, "*.example.hk")
    put(world, kind=Kind.FILE, domain="example.hk")
    look_again(world)
    assert [each.server_name for each in obstacles(world, wildcard)[-1]] == ["*.example.hk"]
    subdomain = unproved(world, WWW)
    assert [each.kind for each in obstacles(world, subdomain)[-1]] == ["validation"]
    look_again(world)
    put(world, domain="example.hk")  # the next value: the file has used up the first
    for _ in range(2):  # one turn examines either order first
        look_again(world)
    assert is_issued(world, wildcard)
    assert is_issued(world, subdomain)


@pytest.mark.parametrize("name", ["*.shop.example.hk", WWW])
def test_record_at_a_parent_covers_its_subdomains_and_wildcards(world: World, name: str) -> None:
    with world.begin() as tx:
        domain_control.begin(tx, SubscriberId("SUB-1"), ["example.hk"])
        domain_store.ask_check(tx.conn, SubscriberId("SUB-1"), "example.hk", tx.now)
    put(world, domain="example.hk")
    assert world.check()
    renewal = unproved(world, name)
    assert is_issued(world, renewal)


def test_proof_of_another_subscriber_is_none(world: World) -> None:
    world.issued([WWW])
    renewal = unproved(world, subscriber_id="SUB-2")
    assert not is_issued(world, renewal)


@pytest.mark.parametrize(
    ("now", "reusable"),
    [
        (datetime(2027, 3, 14, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2027, 3, 15, tzinfo=UTC), False),
    ],
    ids=["last second of the old rule", "first second of the new rule"],
)
def test_shorter_reuse_ends_proofs_at_its_first_second(world: World, now: datetime, reusable: bool) -> None:
    world.opened([WWW])
    world.zone.records.clear()
    world.now = now
    renewal = unproved(world)
    assert is_issued(world, renewal) is reusable


@pytest.mark.parametrize(("seconds", "asked"), [(0, 0), (1, 1)], ids=["at the end", "a second after it"])
@pytest.mark.parametrize(
    ("ttl", "life"),
    [
        (timedelta(seconds=300), CAA_LIFE),
        (timedelta(hours=12), timedelta(hours=12)),
        (timedelta(days=7), timedelta(days=1)),
    ],
    ids=["eight hours at least", "as long as the TTL", "a day at most"],
)
def test_caa_is_looked_up_again_after_its_life(
    world: World, ttl: timedelta, life: timedelta, seconds: int, asked: int
) -> None:
    world.zone.ttl = int(ttl.total_seconds())
    renewal = world.opened([WWW])
    before = world.zone.asked
    world.now += life + timedelta(seconds=seconds)
    world.submit(renewal)
    world.issue()
    assert is_issued(world, renewal)
    assert world.zone.asked - before == asked


def test_new_caa_record_is_seen_by_the_lookup_before_the_signature(world: World) -> None:
    renewal = world.opened([WWW])
    caa(world, ";")
    world.now += CAA_LIFE + timedelta(seconds=1)
    world.submit(renewal)
    world.issue()
    assert [each.reason for each in obstacles(world, renewal)[-1]] == ["caa-forbids-all"]
    world.zone.caa.clear()
    look_again(world)
    assert is_issued(world, renewal)
    assert world.rows("SELECT obstacles FROM orders") == [([],)]


def test_wildcard_is_judged_by_issuewild(world: World) -> None:
    renewal = unproved(world, "*.example.hk")
    put(world, domain="example.hk")
    caa(world, "ca.example.net", tag="issuewild", name="example.hk")
    look_again(world)
    assert [(o.server_name, o.reason) for o in obstacles(world, renewal)[-1]] == [("*.example.hk", "caa-other-issuer")]


def test_changed_obstacles_are_announced_again(world: World) -> None:
    renewal = unproved(world, WWW, "mail.example.hk")
    put(world)
    look_again(world)
    assert [[o.server_name for o in each] for each in obstacles(world, renewal)] == [
        [WWW, "mail.example.hk"],
        ["mail.example.hk"],
    ]


def test_cancellation_while_the_order_waits_withholds_it(world: World) -> None:
    renewal = unproved(world)
    world.cancel(renewal)
    put(world)
    look_again(world)
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-withheld"
    assert not is_issued(world, renewal)


def test_failing_perspectives_leave_the_domain_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    renewal = world.opened([WWW], proved=False)
    world.submit(renewal)
    world.issue_once()
    monkeypatch.setattr(world.zone, "observe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.check()
    assert not world.check()  # leased: its next attempt comes later
    monkeypatch.undo()
    put(world)
    world.now += timedelta(minutes=3)
    world.issue()
    assert is_issued(world, renewal)


@pytest.mark.parametrize(
    ("name", "records", "permitted", "reason"),
    [
        (WWW, (), True, None),
        (WWW, (CAARecord(0, "issue", "hongkongpost.gov.hk"),), True, None),
        (WWW, (CAARecord(0, "issue", "ca.example.net"),), False, "caa-other-issuer"),
        (f"*.{WWW}", (CAARecord(0, "issuewild", ";"),), False, "caa-forbids-all"),
        (WWW, (CAARecord(0, "issue", "hongkongpost.gov.hk; validationmethods=ca-tbr-18"),), False, "caa-other-method"),
    ],
)
def test_operator_asks_for_caa_as_the_signature_does(
    world: World, name: str, records: tuple[CAARecord, ...], permitted: bool, reason: str | None
) -> None:
    world.zone.caa[WWW] = records
    deps = CheckDeps(perspectives=world.zone, rules=RULES)
    report = check_caa.check([name], deps, SubscriberId("SUB-1"), "7", clock=world.clock)
    row = row_of(report)
    assert (row["permitted"], row["reason"], report.failed) == (permitted, reason, not permitted)
    assert str(row["seen"]).count(": ") > len(REMOTES)

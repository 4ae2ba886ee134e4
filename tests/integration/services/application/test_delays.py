"""Certificates that wait: what is missing until when, of what the AR is notified, and that nothing paid is stranded."""

from datetime import timedelta

import pytest

from shared.events.application import (
    CancellationRequested,
    CertificateDelayed,
    NotifiedObstacle,
    RefundDue,
    RenewalCancelled,
)
from tests.integration.services.application.world import WILDCARD, WWW, Renewal, World, body
from tests.support.builders import NOW

NAME = "www.harbourlights.example.hk"
DEADLINE = NOW + timedelta(days=90)


@pytest.fixture
def waiting(world: World) -> Renewal:
    """A renewal of one certificate whose CSR was received."""
    return with_csr(world, WWW)


def with_csr(world: World, *srns: str) -> Renewal:
    renewal = world.paid(*srns)
    for position in range(len(srns)):
        world.apply(world.opened(renewal, position), world.csr_received(renewal, position))
    return renewal


def notified(world: World, renewal: Renewal) -> list[list[str]]:
    """Return the reasons of each announcement to the AR."""
    return [[each.reason for each in event.obstacles] for event in world.announced(renewal.id, CertificateDelayed)]


def shown(world: World, renewal: Renewal, position: int = 0) -> tuple[str, list[str], str | None]:
    item = world.shown(renewal)["items"][position]
    return item["state"], [each["reason"] for each in item["obstacles"]], item["waits_until"]


def test_delayed_item_shows_its_obstacles_and_until_when_it_waits(world: World, waiting: Renewal) -> None:
    world.now += timedelta(hours=1)
    record = 'harbourlights.example.hk CAA 0 issue "other.example"'
    world.apply(world.delayed(waiting, "caa-other-issuer", kind="caa", record=record))
    item = world.shown(waiting)["items"][0]
    assert item["obstacles"] == [
        {"server_name": NAME, "kind": "caa", "reason": "caa-other-issuer", "record": record},
    ]
    assert (item["state"], item["waits_until"]) == ("csr-received", DEADLINE.isoformat())
    assert world.shown(waiting)["deadline"] == DEADLINE.isoformat()
    step = world.shown(waiting)["timeline"][-1]
    assert (step["event"], step["item_id"], step["server_names"]) == ("issuance-delayed", item["id"], [NAME])
    assert (step["detail"], step["time"]) == (NAME, world.now.isoformat())


def test_item_without_obstacles_waits_for_nothing(world: World, waiting: Renewal) -> None:
    assert shown(world, waiting) == ("csr-received", [], None)


def test_announced_delay_says_what_is_missing_until_when_without_the_record(world: World, waiting: Renewal) -> None:
    world.apply(world.delayed(waiting, "caa-other-issuer", kind="caa", record="a stranger's text"))
    (event,) = world.announced(waiting.id, CertificateDelayed)
    assert event == CertificateDelayed(
        renewal_id=waiting.id,
        item_id=waiting.item_id(0),
        obstacles=(NotifiedObstacle(server_name=NAME, kind="caa", reason="caa-other-issuer"),),
        until=DEADLINE,
    )


@pytest.mark.parametrize(
    ("delays", "announced"),
    [
        ([["record-missing"], ["another-value"]], [["record-missing"], ["another-value"]]),
        ([["record-missing"], ["record-missing", "dns-bogus"]], [["record-missing"], ["record-missing", "dns-bogus"]]),
        ([["record-missing", "dns-bogus"], ["record-missing"]], [["record-missing", "dns-bogus"]]),
        ([["dns-timeout"], ["dns-servfail"], ["dns-timeout"], ["dns-servfail"]], [["dns-timeout"], ["dns-servfail"]]),
        ([["not-checked"], ["perspective-timed-out"]], []),
        ([["perspective-timed-out", "record-missing"], ["record-missing"]], [["record-missing"]]),
        ([["a-word-of-tomorrow"]], [["a-word-of-tomorrow"]]),
    ],
    ids=["other", "more", "fewer", "to and fro", "ours", "ours and theirs", "unknown"],
)  # fmt: skip
def test_ar_is_informed_of_an_obstacle_once_and_only_if_it_is_theirs(
    world: World, waiting: Renewal, delays: list[list[str]], announced: list[list[str]]
) -> None:
    for reasons in delays:
        world.apply(world.delayed(waiting, *reasons))
        assert shown(world, waiting)[:2] == ("csr-received", reasons)
    assert notified(world, waiting) == announced
    assert world.course(waiting).count("issuance-delayed") == len(delays)


def test_repeated_delay_is_recorded_as_ignored(world: World, waiting: Renewal) -> None:
    world.apply(world.delayed(waiting, "record-missing"), world.delayed(waiting, "record-missing"))
    assert world.ignored(waiting) == ["obstacles are known"]
    assert world.course(waiting).count("issuance-delayed") == 1


@pytest.mark.parametrize("then", ["issued", "refused", "withheld", "csr_received"])
def test_obstacles_are_gone_once_the_item_moves_on(world: World, then: str) -> None:
    renewal = with_csr(world, WWW, WILDCARD)
    world.apply(world.delayed(renewal, "record-missing"))
    world.apply(getattr(world, then)(renewal))
    state, obstacles, until = shown(world, renewal)
    assert (state, obstacles, until) == (then.replace("_", "-"), [], None)


def test_second_csr_of_a_delayed_item_is_not_mailed_about_again(world: World, waiting: Renewal) -> None:
    world.apply(world.delayed(waiting, "record-missing"), world.csr_received(waiting))
    world.apply(world.delayed(waiting, "record-missing"))
    assert shown(world, waiting)[1] == ["record-missing"]
    assert notified(world, waiting) == [["record-missing"]]


@pytest.mark.parametrize(
    ("state", "before"),
    [("pending", []), ("ordered", ["opened"]), ("issued", ["opened", "issued"]), ("refused", ["opened", "refused"])],
)
def test_delay_in_another_state_is_recorded_as_ignored(world: World, state: str, before: list[str]) -> None:
    renewal = world.paid(WWW, WILDCARD)
    world.apply(*[getattr(world, name)(renewal) for name in before], world.delayed(renewal, "record-missing"))
    assert world.ignored(renewal) == [f"item is {state}"]
    assert shown(world, renewal) == (state, [], None)
    assert notified(world, renewal) == []


# Deadlines


def test_delay_moves_no_deadline(world: World, waiting: Renewal) -> None:
    world.pass_time(timedelta(days=89))
    world.apply(world.delayed(waiting, "record-missing"))
    assert shown(world, waiting)[2] == DEADLINE.isoformat()
    world.pass_time(timedelta(days=1) - timedelta(seconds=1))
    assert world.state(waiting) == "awaiting-csrs"
    world.pass_time(timedelta(seconds=1))
    assert world.state(waiting) == "withholding"


def test_item_that_waits_past_the_deadline_is_refunded(world: World, waiting: Renewal) -> None:
    world.apply(world.delayed(waiting, "record-missing"))
    world.pass_time(timedelta(days=90))
    (asked,) = world.announced(waiting.id, CancellationRequested)
    assert (asked.reason, shown(world, waiting)[2]) == ("not-issued", None)
    world.apply(world.withheld(waiting))
    assert world.state(waiting) == "cancelled"
    assert shown(world, waiting) == ("withheld", [], None)
    assert [due.amount_minor for due in world.announced(waiting.id, RefundDue)] == [waiting.amount_minor]
    assert world.announced(waiting.id, RenewalCancelled)[0].reason == "not-issued"
    (free,) = [each for each in body(world.get("/subscriptions")) if each["srn"] == WWW]
    assert free["renewal_id"] is None


def test_delayed_item_beside_an_issued_one_is_refunded_alone_at_the_deadline(world: World) -> None:
    """Issuance declines to withhold what it has signed, and refuses the item that waits."""
    renewal = with_csr(world, WWW, WILDCARD)
    world.apply(world.issued(renewal), world.delayed(renewal, "record-missing", position=1))
    world.pass_time(timedelta(days=90))
    world.apply(world.declined(renewal), world.refused(renewal, 1))
    assert world.state(renewal) == "completed"
    assert world.item_states(renewal) == ["issued", "refused"]
    (due,) = world.announced(renewal.id, RefundDue)
    assert due.item_id == renewal.item_id(1)


def test_delay_during_a_cancellation_is_announced_only_if_the_renewal_goes_on(world: World) -> None:
    renewal = with_csr(world, WWW, WILDCARD)
    world.cancel(renewal)
    world.apply(world.delayed(renewal, "record-missing"))
    assert (shown(world, renewal)[1:], notified(world, renewal)) == ((["record-missing"], None), [])
    world.now += timedelta(days=1)
    world.apply(world.declined(renewal))
    until = (world.now + timedelta(days=90)).isoformat()
    assert shown(world, renewal)[1:] == (["record-missing"], until)
    assert notified(world, renewal) == [["record-missing"]]

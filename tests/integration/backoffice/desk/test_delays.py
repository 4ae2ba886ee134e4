"""Staff see which certificates wait, for what and until when, in whichever order the topics are read."""

import re

import pytest

from shared.events.application import CertificateDelayed, NotifiedObstacle
from shared.events.issuance import IssuanceDelayed, IssuanceRefused, IssuanceWithheld, Obstacle
from tests.integration.backoffice.desk.world import Renewal, World
from tests.support.builders import NOW

NAME = "www.harbourlights.example.hk"
RECORD = 'harbourlights.example.hk CAA 0 issue "other.example; <b>"'
OBSTACLES = (
    Obstacle(server_name=NAME, kind="validation", reason="record-missing"),
    Obstacle(server_name=NAME, kind="caa", reason="caa-other-issuer", record=RECORD),
)


@pytest.fixture
def renewal(world: World) -> Renewal:
    renewal = Renewal()
    world.apply(*renewal.asked(), renewal.csr())
    return renewal


def delayed(renewal: Renewal, *obstacles: Obstacle) -> IssuanceDelayed:
    return IssuanceDelayed(renewal_id=renewal.id, item_id=renewal.items[0].id, obstacles=obstacles)


def noticed(renewal: Renewal) -> CertificateDelayed:
    notified = tuple(NotifiedObstacle(server_name=o.server_name, kind=o.kind, reason=o.reason) for o in OBSTACLES)
    return CertificateDelayed(renewal_id=renewal.id, item_id=renewal.items[0].id, obstacles=notified, until=NOW)


def page(world: World, renewal: Renewal) -> str:
    """Return the renewal's page up to its timeline, as text."""
    answer = world.client().get(f"/renewals/{renewal.id}")
    assert answer.status_code == 200
    head = answer.text.partition('id="time-line"')[0]
    return " ".join(re.sub(r"<[^>]+>", "", head.replace("<wbr>", "")).split())


def test_delayed_certificate_is_shown_with_its_obstacles_and_its_deadline(world: World, renewal: Renewal) -> None:
    world.apply(delayed(renewal, *OBSTACLES), noticed(renewal))
    text = page(world, renewal)
    assert "CSR received, something is missing" in text
    assert f"Missing {NAME}: control of the domain: record-missing" in text
    assert f"{NAME}: CAA: caa-other-issuer (harbourlights.example.hk CAA 0 issue" in text
    assert "<b>" not in world.client().get(f"/renewals/{renewal.id}").text
    assert "Waits until 23 Nov 2026, 12:00:00" in text


def test_delay_is_a_step_of_the_timeline_with_its_facts(world: World, renewal: Renewal) -> None:
    world.apply(delayed(renewal, *OBSTACLES), noticed(renewal))
    text = world.client().get(f"/renewals/{renewal.id}").text.partition('id="time-line"')[2]
    assert "<strong>Certificate waits</strong>" in text
    assert "<strong>AR notified of what is missing</strong>" in text
    assert text.count(f"{NAME}: control of the domain: record-missing; {NAME}: CAA: caa-other-issuer") == 2


def test_certificate_that_waits_is_in_the_list_of_those_that_wait(world: World, renewal: Renewal) -> None:
    world.apply(delayed(renewal, *OBSTACLES))
    assert "CSR received, something is missing" in world.client().get("/certificates/waiting").text


@pytest.mark.parametrize("then", ["another csr", "fewer", "issued", "refused", "withheld"])
def test_obstacles_that_are_gone_are_not_shown(world: World, renewal: Renewal, then: str) -> None:
    world.apply(delayed(renewal, *OBSTACLES), noticed(renewal))
    item_id = renewal.items[0].id
    following = {
        "another csr": renewal.csr(),
        "fewer": delayed(renewal, OBSTACLES[1]),
        "issued": renewal.issued(),
        "refused": IssuanceRefused(renewal_id=renewal.id, item_id=item_id, reason="cancelled"),
        "withheld": IssuanceWithheld(renewal_id=renewal.id),
    }
    world.apply(following[then])
    text = page(world, renewal)
    assert "record-missing" not in text
    assert ("something is missing" in text) is (then == "fewer")


def test_notice_before_the_order_is_kept(world: World) -> None:
    renewal = Renewal()
    world.apply(renewal.submitted(), noticed(renewal))
    world.apply(renewal.requested(), renewal.opened(0), renewal.csr(), delayed(renewal, *OBSTACLES))
    assert "Waits until 23 Nov 2026, 12:00:00" in page(world, renewal)

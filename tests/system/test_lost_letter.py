"""A PIN Envelope is lost in the post: a clerk's command voids its PIN, and the AR renews with the next one."""

from collections.abc import Callable, Iterator

import pytest

from deploy.local import bring_up, stack
from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.postbox import Letter
from devtools.scenario.target import Target
from shared.web.https_client import APIProblem
from tests.system.readings import events, rows

Begin = Callable[..., Journey]


def new_letter(journey: Journey, old: Letter) -> Letter:
    """Return the second letter for the server name of the first, once it is printed."""

    def look() -> Letter | None:
        found = journey.postbox.letters({old.reference})
        return next((each for each in found if each.server_name == old.server_name and each.pin != old.pin), None)

    return wait_for("the new PIN Envelope", look, seconds=60)


def test_lost_envelope_is_replaced_and_its_pin_refused(system: Target, journey: Begin, spare: Iterator[str]) -> None:
    lost = journey(next(spare))
    lost.apply()
    lost.receive()
    [order], [old] = lost.orders, lost.letters
    csr = lost.make_csrs()[order]

    bring_up.command(
        "issuance",
        "reissue-pin",
        stack.service_environment(system.installation, "issuance", stack.outside()),
        *(order.reference, old.server_name, "--reason", "lost", "--actor", "clerk"),
    )
    new = new_letter(lost, old)
    with pytest.raises(APIProblem, match="pin-wrong"):
        lost.ar.submit_csr(order, csr, {old.server_name: old.pin})
    lost.ar.submit_csr(order, csr, {old.server_name: new.pin})
    lost.download(order)
    lost.wait_for_the_end()

    announced = events(system, lost.id)
    assert announced["issuance.pin-envelopes"] == ["pin-envelope-sealed"] * 2
    assert announced["issuance.events"][:3] == ["order-opened", "pin-voided", "pin-reissued"]
    assert [e["event"] for e in lost.ar.renewal(lost.id)["timeline"] if e["event"] == "pin-reissued"] != []
    letters = rows(
        system, "mailing", "SELECT replaced_by IS NOT NULL FROM pin_envelopes WHERE renewal_id = %s", lost.id
    )
    assert sorted(letters) == [(False,), (True,)]
    for service in ("mailing", "application"):
        assert rows(system, service, "SELECT 1 FROM parked_events WHERE key = %s", lost.id) == []

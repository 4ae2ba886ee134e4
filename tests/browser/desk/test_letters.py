"""PIN Envelopes at the desk, in a real browser on the whole system: one came back, one is lost."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from deploy.local import samples
from devtools.scenario.clerk import import_subscriptions, post_batch
from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.postbox import Letter
from devtools.scenario.target import Target
from shared.web.https_client import APIProblem
from tests.browser.desk.staff_browser import StaffBrowser
from tests.system.readings import rows

Begin = Callable[..., Journey]
SitDown = Callable[..., StaffBrowser]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def posted(system: Target, begin: Begin, tmp_path: Path) -> Journey:
    """A renewal of three server names, its three letters in the post under registered numbers."""
    trio = samples.trio(40)
    import_subscriptions(system.installation, trio)
    ar = begin(trio[2].srn)
    ar.apply()
    ar.receive()
    for batch in {letter.file.parent for letter in ar.letters}:
        manifest = batch / "manifest.csv"
        wait_for("the batch to be closed", partial(_existing, manifest), seconds=60)
        serial = time.time_ns() // 10_000_000 % 90_000_000
        post_batch(manifest, system.mailing_environment(), first_serial=serial, work_folder=tmp_path)
    return ar


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def number_of(system: Target, letter: Letter) -> str:
    """Return the registered number of a letter."""
    query = "SELECT registered_number FROM pin_envelopes WHERE reference = %s AND server_name = %s"
    [(number,)] = rows(system, "mailing", query, letter.reference, letter.server_name)
    return str(number)


def replacement(ar: Journey, old: Letter) -> Letter:
    """Return the letter that was made in place of this one, once it is printed."""

    def look() -> Letter | None:
        found = ar.postbox.letters({old.reference})
        return next((each for each in found if each.server_name == old.server_name and each.pin != old.pin), None)

    return wait_for("the new PIN Envelope", look, seconds=60)


def test_letters_marked_as_returned_or_lost_are_replaced(system: Target, at_desk: SitDown, posted: Journey) -> None:
    back, lost, _ = posted.letters
    desk = at_desk("cheung-kwok-wai")

    number = number_of(system, back)
    desk.find(number)
    desk.window.press(f"a[href^='/envelopes/']:has-text('{number}')")
    desk.send("return", returned_reason="Moved away, no address known 遷移")
    assert desk.said.startswith("Recorded: the letter came back.")
    desk.until("dd .govuk-tag", "Returned")
    assert desk.fact("Returned")[0].endswith(": Moved away, no address known 遷移")
    replace(desk, "returned", "The AR gave a new address on the telephone")
    desk.window.press("a[href$='/recipient']")
    desk.window.wait("address")
    assert "Des Voeux Road" in desk.window.texts("address")[0]
    assert "CHAN Mei Ling" in desk.fact("Name")[0]
    recipient = desk.window.address.removeprefix(desk.home)

    lost_number = number_of(system, lost)
    desk.find(lost_number)
    desk.window.press(f"a[href^='/envelopes/']:has-text('{lost_number}')")
    replace(desk, "lost", "The post has no trace of it")
    assert desk.fact("State") == ["Lost"]
    for place, listed in (("returned", number), ("lost", lost_number)):
        desk.open(f"/envelopes/{place}")
        assert len(desk.rows(listed)) == 1
    desk.open("/envelopes/batches")
    assert desk.rows(back.file.parent.name) != []

    [order] = posted.orders
    csr = posted.make_csrs()[order]
    pins = {letter.server_name: letter.pin for letter in posted.letters}
    with pytest.raises(APIProblem, match="pin-wrong"):
        posted.ar.submit_csr(order, csr, pins)
    pins |= {old.server_name: replacement(posted, old).pin for old in (back, lost)}
    posted.ar.submit_csr(order, csr, pins)
    posted.download(order)

    auditor = at_desk("mok-sze-wan")
    auditor.open("/audit")
    [asked] = auditor.rows("The post has no trace of it")
    for part in ("S1002", "CHEUNG Kwok Wai 張國偉", "reissue-pin-asked"):
        assert part in asked
    assert "S1002" in auditor.rows("recipient-seen")[0]
    enquiries = at_desk("lau-wing-yan")
    enquiries.open(recipient)
    assert enquiries.title == "Your role does not allow this"


def replace(desk: StaffBrowser, what: str, reason: str) -> None:
    """Have another letter made, as this one is of no use any more."""
    desk.window.press(f"input[value='{what}']")
    desk.send("replacement", replace_reason=reason)
    assert desk.said.startswith("The PIN is voided")
    desk.until("dt", "Replaced by")

"""A new PIN Envelope ordered on the pages, on the whole system: the old PIN is refused, the new one accepted."""

from collections.abc import Callable, Iterator

import pytest

from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.postbox import Letter
from tests.browser.keyboard import KeyboardWindow
from tests.browser.portal.ar_browser import ARBrowser
from tests.browser.windows import ChromiumWindow

SitDown = Callable[..., ARBrowser]
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("edition", "window"),
    [
        pytest.param("en", KeyboardWindow, id="en, keyboard"),
        pytest.param("zh-hant", ChromiumWindow, marks=pytest.mark.slow, id="zh-hant"),
        pytest.param("zh-hans", ChromiumWindow, marks=pytest.mark.slow, id="zh-hans"),
    ],
)
def test_ar_orders_a_new_pin_envelope_and_only_its_pin_is_accepted(
    at_browser: SitDown, spare: Iterator[str], edition: str, window: type[ChromiumWindow]
) -> None:
    ar = at_browser(edition, window=window)
    ar.sign_in()
    renewal_id = ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.pay()
    post = ar.target.journey([], ar.folder / "post", person=ar.person)
    post.ar.sign_in()
    [order] = wait_for("the order", lambda: post.ar.orders(renewal_id) or None)
    post.ar.prove(order.server_names)
    old = letter(post, order.reference)

    ar.window.goto(f"{ar.home}renewals/{renewal_id}")
    order_new_envelope(ar)
    new = letter(post, order.reference, other_than=old)
    ar.window.press(f"main a[href$='/renewals/{renewal_id}']")
    ar.send_csr(order, [old])
    ar.window.wait("#pin-1-error")
    ar.window.fill("#pin-1", new.pin)
    ar.window.press("#send")
    ar.download_and_accept()
    post.ar.close()


def order_new_envelope(ar: ARBrowser) -> None:
    """Order a new PIN Envelope: too early as lost, at once as seen by others."""
    ar.window.press("a[href$='/pins']")
    ar.window.press("input[value='lost']")
    ar.window.press("#order")
    ar.window.wait("#reason-error")
    ar.window.press("input[value='exposed']")
    ar.window.press("#order")
    ar.window.wait(".govuk-panel--confirmation")


def letter(post: Journey, reference: str, other_than: Letter | None = None) -> Letter:
    """Return the PIN Envelope of this certificate from the post, once it is printed."""

    def look() -> Letter | None:
        found = post.postbox.letters({reference})
        return next((each for each in found if other_than is None or each.pin != other_than.pin), None)

    return wait_for("the PIN Envelope", look, seconds=60)

"""Reissue within the paid period: from "My certificates" to the installed certificate, without money and post."""

from collections.abc import Callable

import pytest

from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import openssl_verify
from tests.browser.portal.ar_browser import ARBrowser
from tests.browser.portal.test_journey import assert_served
from tests.browser.portal.web_server import Installed

SitDown = Callable[..., ARBrowser]
pytestmark = pytest.mark.timeout(600)

# One whose next year is not sold yet, one that was revoked, and one that ends in 20 days.
CASES = [("en", "0002310009"), ("zh-hant", "0002310011"), ("zh-hans", "0002310008")]


@pytest.mark.parametrize(("edition", "srn"), CASES)
def test_ar_has_another_certificate_within_the_paid_period(at_browser: SitDown, edition: str, srn: str) -> None:
    ar = at_browser(edition, person="lee-siu-fong", imported=False)
    ar.sign_in_with_file()
    reissue_id = ar.draft_reissue(srn)
    ar.sign_in_the_page_and_submit(then=".portal-timeline")
    installed = fulfil(ar, reissue_id)
    assert_served(ar, [installed])
    ar.window.goto(f"{ar.home}certificates")
    assert ar.window.texts(f"a[href$='/certificates/reissue?srn={srn}']"), "another one can be had at any time"


def fulfil(ar: ARBrowser, reissue_id: str) -> Installed:
    """Prove the domains, send the CSR, download and accept the certificate."""
    at_desk = ar.target.journey([], ar.folder / "ar", person=ar.person)
    at_desk.ar.sign_in()
    (order,) = wait_for("the order", lambda: at_desk.ar.orders(reissue_id) or None)
    at_desk.ar.prove([*order.server_names])
    ar.window.goto(f"{ar.home}renewals/{reissue_id}")
    key = ar.send_csr(order, [])
    chain = ar.download_and_accept()
    assert openssl_verify(chain, ar.target.root) == "OK"
    wait_for("the end", lambda: at_desk.ar.renewal(reissue_id)["state"] == "completed" or None)
    at_desk.ar.close()
    return Installed(names=order.server_names, chain=chain, key=key)

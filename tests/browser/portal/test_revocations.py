"""Revocation by the AR in a real browser on the whole system: page, CRL, e-mail, timeline."""

from collections.abc import Callable, Iterator

import pytest
from cryptography import x509

from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.browser.keyboard import KeyboardWindow
from tests.browser.portal.ar_browser import ARBrowser
from tests.browser.windows import ChromiumWindow

SitDown = Callable[..., ARBrowser]
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("edition", "window", "reason"),
    [
        ("en", ChromiumWindow, "keyCompromise"),
        pytest.param("en", KeyboardWindow, "superseded", marks=pytest.mark.slow),
        pytest.param("zh-hant", ChromiumWindow, "cessationOfOperation", marks=pytest.mark.slow),
        pytest.param("zh-hans/text", ChromiumWindow, "affiliationChanged", marks=pytest.mark.slow),
    ],
)
def test_ar_revokes_a_certificate_and_sees_it_on_the_crl(
    at_browser: SitDown,
    system: Target,
    spare: Iterator[str],
    edition: str,
    window: type[ChromiumWindow],
    reason: str,
) -> None:
    ar = at_browser(edition, window=window)
    renewal = system.journey([next(spare)], ar.folder / "renewal")
    renewal.apply()
    renewal.receive()
    renewal.fulfil()
    (order,) = renewal.orders
    ar.sign_in()
    ar.window.goto(f"{ar.home}renewals/{renewal.id}")
    ar.revoke(str(order.item_id), reason)
    (certificate, *_) = x509.load_pem_x509_certificates(renewal.certificates[order.reference].read_bytes())
    assert f"{certificate.serial_number:x}" in " ".join(ar.window.texts("main dd"))
    wait_for("the e-mail", lambda: _is_mailed(renewal) or None)
    wait_for("the step", lambda: _is_in_the_timeline(renewal) or None)
    renewal.ar.close()


def _is_mailed(renewal: Journey) -> bool:
    return any("revoked" in mail["subject"] for mail in renewal.mails())


def _is_in_the_timeline(renewal: Journey) -> bool:
    return any(step["event"] == "certificate-revoked" for step in renewal.ar.renewal(renewal.id)["timeline"])

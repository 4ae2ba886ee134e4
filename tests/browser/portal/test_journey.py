"""The road from the start page to the accepted certificate, in a real browser on the whole system."""

from collections.abc import Callable

import pytest

from deploy.demo.journey import openssl_verify
from deploy.demo.postbox import Letter
from deploy.demo.public import wait_for
from tests.browser.portal.ar_browser import ARBrowser

SitDown = Callable[..., ARBrowser]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("edition", "srn", "person"),
    [
        ("en", "0002310003", "chan-mei-ling"),
        pytest.param("zh-hant", "0002310010", "lee-siu-fong", marks=pytest.mark.slow),
        pytest.param("zh-hans/text", "0002310008", "lee-siu-fong", marks=pytest.mark.slow),
    ],
)
def test_an_ar_without_scripts_renews_with_an_uploaded_signature(
    at_browser: SitDown, edition: str, srn: str, person: str
) -> None:
    ar = at_browser(edition, person=person, scripts=False)
    ar.sign_in()
    renewal_id = ar.draft(srn)
    ar.upload_signature_and_submit()
    ar.pay()
    _finish(ar, renewal_id)


@pytest.mark.timeout(600)
def test_an_ar_signs_in_the_page_with_the_e_cert_file(at_browser: SitDown) -> None:
    ar = at_browser("en")
    ar.sign_in_with_file()
    renewal_id = ar.draft("0002310001", "0002310002")
    ar.sign_in_the_page_and_submit()
    ar.pay()
    _finish(ar, renewal_id)


def _finish(ar: ARBrowser, renewal_id: str) -> None:
    """With the letters in hand: a CSR for each certificate, which then verifies."""
    post = ar.target.journey([], ar.folder / "post", person=ar.person)
    post.ar.sign_in()
    orders = wait_for("the orders", lambda: post.ar.orders(renewal_id) or None)
    wanted = {(order.reference, name) for order in orders for name in order.server_names}
    references = {order.reference for order in orders}

    def look() -> list[Letter] | None:
        found = post.postbox.letters(references)
        return found if {(letter.reference, letter.server_name) for letter in found} == wanted else None

    letters = wait_for("the PIN Envelopes", look)
    for order in orders:
        ar.send_csr(order, letters)
        assert openssl_verify(ar.download_and_accept(), ar.target.root) == "OK"
    wait_for("the end", lambda: post.ar.renewal(renewal_id)["state"] == "completed" or None)
    post.ar.close()


@pytest.mark.timeout(600)
def test_an_e_cert_that_is_not_accepted_leads_back_to_a_page_that_says_why(at_browser: SitDown) -> None:
    ar = at_browser("en", person="ho-chi-wai-revoked")
    ar.page.goto(ar.home)
    ar.press("a.govuk-button--start")
    ar.press("#sign-in")
    assert "This e-Cert has been revoked" in ar.page.locator(".govuk-error-summary").inner_text()

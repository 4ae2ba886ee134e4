"""The road from the start page to the installed certificate, in a real browser on the whole system."""

from collections.abc import Callable, Iterator

import pytest

from devtools.scenario.ar import Order
from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import openssl_verify
from devtools.scenario.postbox import Letter
from tests.browser.keyboard import KeyboardWindow
from tests.browser.portal import web_server
from tests.browser.portal.ar_browser import ARBrowser, with_e_cert_file, with_token
from tests.browser.portal.web_server import Installed

SitDown = Callable[..., ARBrowser]
pytestmark = pytest.mark.timeout(600)


def test_ar_signs_in_the_page_and_installs_three_certificates_with_five_pin_envelopes(at_browser: SitDown) -> None:
    ar = at_browser("en")
    ar.sign_in()
    renewal_id = ar.draft("0002310001", "0002310002", "0002310003")
    ar.prove_domains()
    ar.window.press(".govuk-back-link")
    ar.sign_in_the_page_and_submit()
    ar.pay()
    installed = finish(ar, renewal_id)
    assert sorted(len(each.names) for each in installed) == [1, 1, 3]
    assert_served(ar, installed)


def test_certificate_waits_and_says_what_is_missing_until_its_domain_is_proved(
    at_browser: SitDown, spare: Iterator[str]
) -> None:
    ar = at_browser("en")
    ar.sign_in()
    renewal_id = ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.pay()
    assert_served(ar, finish(ar, renewal_id, proves_late=True))


@pytest.mark.slow
@pytest.mark.parametrize(("edition", "srn"), [("zh-hant", "0002310010"), ("zh-hans", "0002310008")])
def test_ar_renews_in_every_other_language_signed_in_with_the_e_cert_file(
    at_browser: SitDown, edition: str, srn: str
) -> None:
    ar = at_browser(edition, person="lee-siu-fong", imported=False)
    ar.sign_in_with_file()
    renewal_id = ar.draft(srn)
    ar.sign_in_the_page_and_submit()
    ar.pay_with_file()
    assert_served(ar, finish(ar, renewal_id))


def test_e_cert_file_alone_signs_in_signs_and_pays(at_browser: SitDown, spare: Iterator[str]) -> None:
    ar = at_browser("en", imported=False)
    ar.sign_in_with_file()
    ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.pay_with_file()


def test_failed_proof_of_payer_leads_to_payment_with_the_e_cert_file(at_browser: SitDown, spare: Iterator[str]) -> None:
    ar = at_browser("en", imported=False)
    ar.sign_in_with_file()
    ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.window.press("a[href$='/payment/authorise']")
    ar.window.wait(".govuk-error-summary")
    ar.pay_with_file()


@pytest.mark.slow
def test_e_cert_file_alone_pays_in_firefox(at_firefox: SitDown, spare: Iterator[str]) -> None:
    ar = at_firefox("en")
    ar.sign_in_with_file()
    ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.pay_with_file()


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["en", "zh-hant/text", "zh-hans/text"])
def test_ar_without_scripts_renews_with_an_uploaded_signature(
    at_browser: SitDown, spare: Iterator[str], edition: str
) -> None:
    ar = at_browser(edition, scripts=False)
    ar.sign_in()
    renewal_id = ar.draft(next(spare))
    ar.upload_signature_and_submit(with_e_cert_file)
    ar.pay()
    assert_served(ar, finish(ar, renewal_id))


@pytest.mark.slow
def test_ar_signs_in_to_chromium_with_the_e_cert_imported_into_it(at_store: SitDown) -> None:
    at_store("en").sign_in()


@pytest.mark.slow
def test_ar_renews_in_firefox_with_the_e_cert_imported_into_it(at_firefox: SitDown, spare: Iterator[str]) -> None:
    ar = at_firefox("en")
    ar.sign_in()
    renewal_id = ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.pay()
    assert_served(ar, finish(ar, renewal_id))


@pytest.mark.slow
def test_ar_renews_with_the_key_on_a_token_in_chromium_and_outside_it(at_token: SitDown, spare: Iterator[str]) -> None:
    ar = at_token("en")
    ar.sign_in()
    renewal_id = ar.draft(next(spare))
    ar.upload_signature_and_submit(with_token)
    ar.pay()
    assert_served(ar, finish(ar, renewal_id))


@pytest.mark.slow
def test_ar_renews_with_the_keyboard_alone_enlarged_four_times(at_browser: SitDown, spare: Iterator[str]) -> None:
    ar = at_browser("en", window=KeyboardWindow)
    ar.sign_in()
    renewal_id = ar.draft(next(spare))
    ar.sign_in_the_page_and_submit()
    ar.pay()
    assert_served(ar, finish(ar, renewal_id))


def test_refused_e_cert_leads_back_to_a_page_with_the_reason(at_browser: SitDown) -> None:
    ar = at_browser("en", person="ho-chi-wai-revoked")
    ar.window.goto(ar.home)
    ar.window.press("a.govuk-button--start")
    ar.window.press("#sign-in")
    ar.window.wait(".govuk-error-summary")
    assert "This e-Cert has been revoked" in ar.window.texts(".govuk-error-summary")[0]


def finish(ar: ARBrowser, renewal_id: str, *, proves_late: bool = False) -> list[Installed]:
    """Submit a CSR for each certificate with the PINs of the letters, then download and accept the certificates.

    Domains that are not proved are proved before, or on the pages after the CSR.
    """
    post = ar.target.journey([], ar.folder / "post", person=ar.person)
    post.ar.sign_in()
    orders = wait_for("the orders", lambda: post.ar.orders(renewal_id) or None)
    wanted = {(order.reference, name) for order in orders for name in order.server_names}
    references = {order.reference for order in orders}
    if not proves_late:
        post.ar.prove([name for order in orders for name in order.server_names])

    def look() -> list[Letter] | None:
        found = post.postbox.letters(references)
        return found if {(letter.reference, letter.server_name) for letter in found} == wanted else None

    letters = wait_for("the PIN Envelopes", look)
    installed = [_fulfil(ar, order, letters, proves_late=proves_late) for order in orders]
    wait_for("the end", lambda: post.ar.renewal(renewal_id)["state"] == "completed" or None)
    post.ar.close()
    return installed


def _fulfil(ar: ARBrowser, order: Order, letters: list[Letter], *, proves_late: bool) -> Installed:
    key = ar.send_csr(order, letters)
    if proves_late:
        ar.window.wait("main a[href$='/domains']", seconds=60)
        ar.prove_domains()
        ar.window.goto(f"{ar.home}renewals/{order.renewal_id}")
        ar.window.press(f"a[href$='/orders/{order.item_id}']")
    chain = ar.download_and_accept()
    assert openssl_verify(chain, ar.target.root) == "OK"
    return Installed(names=order.server_names, chain=chain, key=key)


def assert_served(ar: ARBrowser, installed: list[Installed]) -> None:
    """Assert that nginx serves each certificate to curl under each of its names; a wildcard's under two names."""
    with web_server.serving(ar.folder / "nginx", installed) as port:
        for each in installed:
            for name in each.names:
                for visited in (name.replace("*", "till"), name.replace("*", "stock")):
                    assert web_server.visit(visited, port, ar.target.root) == each.names[0]

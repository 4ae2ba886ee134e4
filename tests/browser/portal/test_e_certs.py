"""Every kind of e-Cert shown to the portal by a real browser: tested, taken, or refused with a reason."""

from collections.abc import Callable

import pytest

from tests.browser.portal.ar_browser import ARBrowser

SitDown = Callable[..., ARBrowser]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("person", "verdict", "faults"),
    [
        ("chan-mei-ling", "Your e-Cert is ready", 0),
        ("lee-siu-fong-mutual-recognition", "Your e-Cert is ready", 0),
        ("lee-siu-fong-renewed", "Your e-Cert is ready", 0),
        ("ho-chi-wai-revoked", "Your e-Cert cannot be used now", 1),
        ("wong-ka-ho-expired", "Your e-Cert cannot be used now", 1),
        ("chan-mei-ling-personal", "Your e-Cert cannot be used now", 2),
        ("lam-yuk-lan-not-enrolled", "Your e-Cert cannot be used now", 1),
    ],
)
def test_e_cert_page_lists_passed_and_failed_checks(
    at_browser: SitDown, person: str, verdict: str, faults: int
) -> None:
    ar = at_browser("en", person=person, scripts=False)
    ar.window.goto(f"{ar.home}test-e-cert")
    ar.window.press("#test")
    ar.window.wait("main table")
    assert ar.window.texts("h1") == [verdict]
    assert len(ar.window.texts("main .govuk-tag--red")) == faults
    assert "Sign out" not in ar.window.texts("body")[0]


def test_an_e_cert_file_is_tested_in_the_page(at_browser: SitDown) -> None:
    ar = at_browser("en")
    ar.window.goto(f"{ar.home}test-e-cert/file")
    ar.use_e_cert_file()
    ar.window.wait("main table")
    assert ar.window.texts("h1") == ["Your e-Cert is ready"]


def test_mutual_recognition_e_cert_signs_in(at_browser: SitDown) -> None:
    at_browser("zh-hant", person="lee-siu-fong-mutual-recognition").sign_in()


@pytest.mark.parametrize("edition", ["en", "zh-hant", "zh-hans"])
def test_renewed_e_cert_signs_in_beside_the_earlier_one(at_browser: SitDown, edition: str) -> None:
    found = []
    for person in ("lee-siu-fong-renewed", "lee-siu-fong"):
        ar = at_browser(edition, person=person, scripts=False)
        ar.sign_in()
        found.append(ar.window.texts("main input[name='srn']") or ar.window.texts("h1"))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("edition", "advice"),
    [
        ("en", "the SRN in both are the same"),
        ("zh-hant", "登記人參考編號（SRN）相同"),
        ("zh-hans", "订户参考编号（SRN）相同"),
    ],
)
def test_unregistered_e_cert_is_refused_with_advice(at_browser: SitDown, edition: str, advice: str) -> None:
    ar = at_browser(edition, person="lam-yuk-lan-not-enrolled", scripts=False)
    ar.window.goto(ar.home)
    ar.window.press("a.govuk-button--start")
    ar.window.press("#sign-in")
    ar.window.wait(".govuk-error-summary")
    assert advice in ar.window.texts(".govuk-error-summary")[0]

"""Control of a domain from the draft on: the value from the page into the DNS, a check, and the proof."""

from collections.abc import Callable, Iterator

import pytest

from tests.browser.portal.ar_browser import ARBrowser

SitDown = Callable[..., ARBrowser]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("edition", "scripts"), [("en", True), ("zh-hant", True), ("zh-hans", True), ("zh-hant/text", False)]
)
def test_domain_of_a_draft_is_proved_with_the_txt_record_that_the_page_shows(
    at_browser: SitDown, spare: Iterator[str], edition: str, scripts: bool
) -> None:
    ar = at_browser(edition, scripts=scripts)
    window = ar.window
    ar.sign_in()
    draft = ar.draft(next(spare))
    window.press(f"a[href$='/renewals/{draft}/domains']")
    window.wait(".portal-code")
    name, value = window.texts(".portal-code")[:2]
    assert name.startswith("_validation.host")
    check(ar, "govuk-tag--blue")
    ar.target.publish(name, f"not-{value}")
    check(ar, "govuk-tag--blue")
    assert any(f"not-{value}" in text for text in window.texts(".govuk-details .portal-mono"))
    ar.target.publish(name, value)
    check(ar, "govuk-tag--green")
    assert "_validation" not in "".join(window.texts(".portal-code"))
    window.press(".govuk-back-link")
    window.wait(".govuk-task-list")
    assert window.texts(".govuk-task-list .govuk-tag--yellow") == []


def check(ar: ARBrowser, status: str) -> None:
    """Choose Check now, and wait on the page that loads itself again until the status has this colour."""
    ar.window.press("main .govuk-button[name='domain']")
    ar.window.wait("main .govuk-tag--yellow")
    ar.window.wait(f"main .{status}", seconds=60)

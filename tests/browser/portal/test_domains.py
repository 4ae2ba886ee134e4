"""Control of a domain from the draft on: the value from the page into the DNS, a check, and the proof."""

from collections.abc import Callable, Iterator

import pytest

from deploy.local.people import CHAN
from deploy.local.samples import SampleSubscription
from devtools.scenario.clerk import import_subscriptions
from shared.vocabulary import Product
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


def test_record_of_the_parent_proves_both_names_of_a_draft(at_browser: SitDown) -> None:
    ar = at_browser("en")
    window, names = ar.window, ("a.once.harbourlights.example.hk", "b.once.harbourlights.example.hk")
    subscription = SampleSubscription(
        srn="0003100001", person=CHAN, product=Product.MULTI_DOMAIN, server_names=names, days_left=45
    )
    import_subscriptions(ar.target.installation, (subscription,))
    ar.sign_in()
    draft = ar.draft(subscription.srn)
    window.press(f"a[href$='/renewals/{draft}/domains']")
    window.press("main .govuk-button[name='parent']")
    window.wait("main .govuk-button[value='once.harbourlights.example.hk'][name='domain']")
    name, value = window.texts(".portal-code")[:2]
    assert name == "_validation.once.harbourlights.example.hk"
    ar.target.publish(name, value)
    window.press("main .govuk-button[value='once.harbourlights.example.hk']")
    window.wait("main .govuk-tag--green", seconds=60)
    assert window.texts(".portal-code") == []
    assert window.texts("dd .portal-mono").count("once.harbourlights.example.hk") == len(names)


def check(ar: ARBrowser, status: str) -> None:
    """Choose Check now, and wait on the page that loads itself again until the status has this colour."""
    ar.window.press("main .govuk-button[name='domain']")
    ar.window.wait("main .govuk-tag--yellow")
    ar.window.wait(f"main .{status}", seconds=60)

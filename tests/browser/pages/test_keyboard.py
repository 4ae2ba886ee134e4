"""The focus on a page: past the header, to what is wrong, to the controls that are wrong."""

import pytest
from playwright.sync_api import expect

from tests.browser.pages.reader import Reader
from tests.unit.portal.page_states import EDITIONS, states

ERROR = {"en": "Error:", "zh-hant": "錯誤：", "zh-hans": "错误："}


def test_first_tab_stop_skips_the_header(reader: Reader) -> None:
    (start,) = [state for state in states() if state.name == "public /"]
    reader.show(start, "en")
    link = reader.page.locator(".govuk-skip-link")
    reader.page.keyboard.press("Tab")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    reader.page.keyboard.press("Enter")
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("edition", EDITIONS)
def test_error_summary_is_in_the_title_has_the_focus_and_links_to_each_control(reader: Reader, edition: str) -> None:
    # In text mode, without scripts, nobody gets so far as to have a file refused.
    unreachable = ("/sign-in/file", "/test-e-cert/file") if edition.endswith("text") else ()
    pages = [state for state in states() if state.show(edition).status_code == 422 and state.path not in unreachable]
    assert len(pages) >= 12
    for state in pages:
        reader.show(state, edition)
        assert reader.page.title().startswith(ERROR[edition.removesuffix("/text")]), state.name
        expect(reader.page.locator(".govuk-error-summary")).to_be_focused()
        links = reader.page.locator(".govuk-error-summary__list a")
        targets = [link.get_attribute("href") or "" for link in links.all()]
        assert targets, state.name
        for number, target in enumerate(targets):
            links.nth(number).press("Enter")
            expect(reader.page.locator(target)).to_be_focused()

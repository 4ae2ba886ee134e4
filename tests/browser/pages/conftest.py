"""Windows onto the pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.pages.reader import Reader


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    """A window of a desktop computer; the test fails when a policy stopped something or a script failed."""
    with browser.new_context(viewport={"width": 1280, "height": 1024}) as context:
        window = Reader(context)
        yield window
        assert window.troubles == []

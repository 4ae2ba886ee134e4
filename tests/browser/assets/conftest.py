"""The page that signs, opened in a browser."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.assets.site import Site, running_site


@pytest.fixture
def site() -> Iterator[Site]:
    """The page, asking to sign a small document now."""
    with running_site() as running:
        running.document = '{"purpose":"hk.ecert.renewal-application.v1","name":"海港燈飾"}'.encode()
        running.time = datetime.now(UTC).isoformat()
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window of its own; a test fails when the page's policy stopped something or a script failed."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    window = context.new_page()
    troubles: list[str] = []
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    yield window
    context.close()
    assert troubles == []

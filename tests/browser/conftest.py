"""One headless Chromium for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser import programs

_LOCALHOST = Path(__file__).parent / "localhost.cjs"


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """The driver. Client certificates go through its Node.js, which must find the names of the gateway."""
    os.environ["NODE_OPTIONS"] = f"--require {_LOCALHOST}"
    with sync_playwright() as running:
        del os.environ["NODE_OPTIONS"]
        yield running


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Every test opens a context of its own."""
    with programs.chromium().start(playwright) as started:
        yield started

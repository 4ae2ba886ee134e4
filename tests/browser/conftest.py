"""One headless Chromium for all tests of this folder."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# Without these, Chromium looks for its maker's servers at every start.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; every test opens a context of its own."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("these tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        root = os.geteuid() == 0
        launched = playwright.chromium.launch(executable_path=program, args=[*_QUIET], chromium_sandbox=not root)
        yield launched
        launched.close()

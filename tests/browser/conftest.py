"""One headless Chromium for all tests of this folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

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
_LOCALHOST = Path(__file__).parent / "localhost.cjs"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; every test opens a context of its own."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("these tests need Chromium: apt-get install chromium")
    # Client certificates go through its Node.js, which must find the names of the gateway.
    os.environ["NODE_OPTIONS"] = f"--require {_LOCALHOST}"
    with sync_playwright() as playwright:
        del os.environ["NODE_OPTIONS"]
        root = os.geteuid() == 0
        launched = playwright.chromium.launch(executable_path=program, args=[*_QUIET], chromium_sandbox=not root)
        yield launched
        launched.close()

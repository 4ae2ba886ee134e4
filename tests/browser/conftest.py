"""One headless Chromium and one whole system for all tests of this folder."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from deploy.local import samples
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.target import Target
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


@pytest.fixture(scope="package")
def system() -> Iterator[Target]:
    """Every process, ready."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-browser-"))
    try:
        installation = Installation.open(folder / "state", Ports.free())
        with running(installation, Progress()):
            yield Target(installation=installation, patience=20)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="package")
def spare(system: Target) -> Iterator[str]:
    """SRNs of Harbour Lights that no other test renews, one after the other."""
    import_subscriptions(system.installation, samples.many(20))
    return (f"{3_000_001 + number:010d}" for number in range(20))

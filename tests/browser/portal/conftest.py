"""The whole system for the journeys of this folder."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from deploy.demo.target import Target
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running
from tests.browser.portal.ar_browser import ARBrowser, open_window


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


@pytest.fixture
def at_browser(browser: Browser, system: Target, tmp_path: Path) -> Iterator[Callable[..., ARBrowser]]:
    """Sit down at a browser that has the e-Cert of one of the sample ARs."""
    windows: list[BrowserContext] = []

    def sit_down(edition: str, *, person: str = "chan-mei-ling", scripts: bool = True) -> ARBrowser:
        windows.append(open_window(browser, system, person, scripts=scripts))
        page = windows[-1].new_page()
        page.set_default_timeout(30_000)
        return ARBrowser(target=system, page=page, folder=tmp_path, person=person, edition=edition)

    yield sit_down
    for window in windows:
        window.close()

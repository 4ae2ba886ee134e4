"""The whole system for the journeys of this folder."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from deploy.demo.clerk import import_subscriptions
from deploy.demo.target import Target
from deploy.local import samples
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running
from tests.browser import firefox, nss
from tests.browser.portal.ar_browser import ARBrowser, open_window
from tests.browser.windows import ChromiumWindow


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


@pytest.fixture
def at_browser(browser: Browser, system: Target, tmp_path: Path) -> Iterator[Callable[..., ARBrowser]]:
    """Sit down at a Chromium that has the e-Cert of one of the sample ARs."""
    with contextlib.ExitStack() as windows:

        def sit_down(
            edition: str,
            *,
            person: str = "chan-mei-ling",
            scripts: bool = True,
            window: type[ChromiumWindow] = ChromiumWindow,
        ) -> ARBrowser:
            page = windows.enter_context(open_window(browser, system, person, scripts=scripts)).new_page()
            page.set_default_timeout(30_000)
            return ARBrowser(target=system, window=window(page), folder=tmp_path, person=person, edition=edition)

        yield sit_down


@pytest.fixture
def at_firefox(system: Target, tmp_path: Path) -> Iterator[Callable[..., ARBrowser]]:
    """Sit down at a Firefox into which the e-Cert was imported; the gateway's root is trusted, nothing let pass."""
    with contextlib.ExitStack() as windows:

        def sit_down(edition: str, *, person: str = "chan-mei-ling") -> ARBrowser:
            installation, profile = system.installation, tmp_path / "firefox"
            nss.create(profile, trusted=installation.pki.gateway / "root.pem")
            password = installation.passwords[f"p12/{person}"]
            nss.import_ecert(profile, installation.pki.people / f"{person}.p12", password)
            window = windows.enter_context(firefox.window(profile))
            return ARBrowser(target=system, window=window, folder=tmp_path, person=person, edition=edition)

        yield sit_down

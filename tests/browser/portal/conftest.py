"""Browsers of the AR."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from devtools.scenario.target import Target
from tests.browser import certificate_choice, firefox, nss, programs, token
from tests.browser.portal.ar_browser import ARBrowser, open_window
from tests.browser.windows import ChromiumWindow


@pytest.fixture
def at_browser(browser: Browser, system: Target, tmp_path: Path) -> Iterator[Callable[..., ARBrowser]]:
    """Sit down at a Chromium that has the e-Cert of one of the sample ARs."""
    with contextlib.ExitStack() as windows:

        def sit_down(
            edition: str,
            *,
            person: str = "chan-mei-ling",
            scripts: bool = True,
            imported: bool = True,
            window: type[ChromiumWindow] = ChromiumWindow,
        ) -> ARBrowser:
            page = windows.enter_context(
                open_window(browser, system, person, scripts=scripts, imported=imported)
            ).new_page()
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


@pytest.fixture
def at_store(playwright: Playwright, system: Target, tmp_path: Path) -> Iterator[Callable[..., ARBrowser]]:
    """Sit down at a Chromium into whose store the e-Cert was imported; it trusts the gateway's root."""

    def fill(store: Path, person: str) -> dict[str, str]:
        installation = system.installation
        password = installation.passwords[f"p12/{person}"]
        nss.import_ecert(store, installation.pki.people / f"{person}.p12", password)
        return {}

    with _stores(playwright, system, tmp_path, fill) as sit_down:
        yield sit_down


@pytest.fixture
def at_token(
    playwright: Playwright, system: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ARBrowser]]:
    """Sit down at a Chromium with the token's module in its store, the token plugged in."""

    def fill(store: Path, person: str) -> dict[str, str]:
        ecert = system.ecert(person)
        plugged_in = token.create(tmp_path / "token", ecert.key, ecert.certificate)
        plugged_in.plug_into(store)
        for name, value in plugged_in.environment.items():
            monkeypatch.setitem(os.environ, name, value)
        return plugged_in.environment

    with _stores(playwright, system, tmp_path, fill) as sit_down:
        yield sit_down


@contextlib.contextmanager
def _stores(
    playwright: Playwright, system: Target, folder: Path, fill: Callable[[Path, str], dict[str, str]]
) -> Iterator[Callable[..., ARBrowser]]:
    """Yield a Chromium of a user of its own, with the store that `fill` fills."""
    home = folder / "home"
    host = f"https://signin.ecert.localhost:{system.installation.ports.gateway}"
    with contextlib.ExitStack() as windows:

        def sit_down(edition: str, *, person: str = "chan-mei-ling") -> ARBrowser:
            store = home / ".pki" / "nssdb"
            nss.create(store, trusted=system.installation.pki.gateway / "root.pem")
            environment = {"HOME": str(home), **fill(store, person)}
            windows.enter_context(certificate_choice.automatic(host))
            context = programs.chromium().start_as(playwright, home / "profile", environment)
            page = windows.enter_context(context).new_page()
            return ARBrowser(target=system, window=ChromiumWindow(page), folder=folder, person=person, edition=edition)

        yield sit_down

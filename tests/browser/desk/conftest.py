"""Browsers of members of staff, and the AR whose renewals they see."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from deploy.local import stack, staff
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.browser import certificate_choice, nss, programs
from tests.browser.desk.staff_browser import StaffBrowser
from tests.browser.windows import ChromiumWindow


@pytest.fixture
def begin(system: Target, tmp_path: Path) -> Iterator[Callable[..., Journey]]:
    """Begin a renewal of these SRNs as the sample AR, by the API."""
    begun: list[Journey] = []

    def begin(*srns: str) -> Journey:
        begun.append(system.journey(list(srns), tmp_path / f"ar-{len(begun)}"))
        return begun[-1]

    yield begin
    for each in begun:
        each.ar.close()


@pytest.fixture
def at_desk(browser: Browser, system: Target) -> Iterator[Callable[..., StaffBrowser]]:
    """Sit down at a Chromium that has the certificate of one of the sample members of staff."""
    home = stack.desk_url(system.installation)
    with contextlib.ExitStack() as windows:

        def sit_down(member: str, *, window: type[ChromiumWindow] = ChromiumWindow) -> StaffBrowser:
            files = system.installation.pki.staff / member
            certificate = {"origin": home, "certPath": f"{files}.pem", "keyPath": f"{files}.key"}
            context = browser.new_context(
                client_certificates=[certificate],  # type: ignore[list-item]  # a TypedDict of theirs
                # The gateway's own root is not in this browser.
                ignore_https_errors=True,
            )
            page = windows.enter_context(context).new_page()
            page.set_default_timeout(30_000)
            return StaffBrowser(home=home, window=window(page))

        yield sit_down


@pytest.fixture
def at_store(playwright: Playwright, system: Target, tmp_path: Path) -> Iterator[Callable[[str], StaffBrowser]]:
    """Sit down at a Chromium into whose store the member's PKCS#12 file was imported; it trusts the gateway's root."""
    installation = system.installation
    home = stack.desk_url(installation)
    with contextlib.ExitStack() as windows:

        def sit_down(member: str) -> StaffBrowser:
            folder = tmp_path / member
            store = folder / ".pki" / "nssdb"
            nss.create(store, trusted=installation.pki.gateway / "root.pem")
            [sample] = [each for each in staff.MEMBERS if each.file == member]
            password = installation.passwords[staff.password_name(sample)]
            nss.import_ecert(store, installation.pki.staff / f"{member}.p12", password)
            windows.enter_context(certificate_choice.automatic(home))
            context = programs.chromium().start_as(playwright, folder / "profile", {"HOME": str(folder)})
            page = windows.enter_context(context).new_page()
            return StaffBrowser(home=home, window=ChromiumWindow(page))

        yield sit_down

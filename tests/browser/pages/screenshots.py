"""`make screenshots`: every page in every state, language and mode, as pictures to look at; and each on a phone.

The desk's pages have one language, and are answered by a desk with a real database that is made for the purpose.
"""

import argparse
from pathlib import Path

import structlog
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from deploy.local.installation import ROOT
from tests.browser import programs
from tests.browser.pages import desk_states
from tests.browser.pages.reader import Reader
from tests.support.engines import running_postgres
from tests.unit.portal.page_states import EDITIONS, states

WINDOWS: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}


def main() -> None:
    """Write them, a folder for each language and mode."""
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".local" / "screenshots")
    parser.add_argument("--editions", nargs="*", default=EDITIONS, choices=EDITIONS)
    parser.add_argument("--windows", nargs="+", default=list(WINDOWS), choices=list(WINDOWS))
    parser.add_argument("--desk", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    # Some states are failures, of which the portal's log speaks at length.
    structlog.configure(processors=[_drop])
    with sync_playwright() as playwright, programs.chromium().start(playwright) as browser:
        for window in options.windows:
            for edition in options.editions:
                _write(browser, window, edition, options.folder / f"{edition.replace('/', '-')}-{window}")
        if options.desk:
            _write_desk(browser, options)
    print(f"{sum(1 for _ in options.folder.rglob('*.png'))} pictures in {options.folder}")


def _drop(*_: object) -> str:
    raise structlog.DropEvent


def _write(browser: Browser, window: str, edition: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser.new_context(viewport=WINDOWS[window]) as context:
        reader = Reader(context)
        for number, state in enumerate(states()):
            reader.show(state, edition)
            name = f"{number:03d} {state.name.replace('/', ' ')}.png"
            reader.page.screenshot(path=folder / name, full_page=True)


def _write_desk(browser: Browser, options: argparse.Namespace) -> None:
    with running_postgres() as postgres, desk_states.opened(postgres) as desks:
        for window in options.windows:
            folder: Path = options.folder / f"desk-{window}"
            folder.mkdir(parents=True, exist_ok=True)
            with browser.new_context(viewport=WINDOWS[window]) as context:
                reader = Reader(context)
                for number, state in enumerate(desks.states):
                    reader.load(state.address, state.show())
                    name = f"{number:03d} {state.name.replace('/', ' ')}.png"
                    reader.page.screenshot(path=folder / name, full_page=True)


if __name__ == "__main__":
    main()

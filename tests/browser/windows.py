"""A browser window as the journeys use it: by CSS, because texts differ by language; whichever browser it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from playwright.sync_api import Page, expect


class Window(Protocol):
    """Actions of a person in a window. All of them wait, half a minute at most, for what is not there yet."""

    @property
    def address(self) -> str:
        """Address of the page."""

    def goto(self, address: str) -> None:
        """Open an address."""

    def press(self, css: str) -> None:
        """Press a link, a button or a box to tick."""

    def fill(self, css: str, text: str) -> None:
        """Fill a field."""

    def upload(self, css: str, file: Path) -> None:
        """Choose a file."""

    def texts(self, css: str) -> list[str]:
        """Return what the elements say that are there now, shown or not."""

    def wait(self, css: str, *, seconds: float = 30) -> None:
        """Wait until one is shown."""

    def gone(self, css: str) -> None:
        """Wait until none is shown."""

    def download(self, css: str, folder: Path) -> Path:
        """Press a link and keep the file it leads to, under its own name."""


@dataclass(frozen=True)
class ChromiumWindow:
    """Chromium, by Playwright."""

    page: Page

    @property
    def address(self) -> str:
        return self.page.url

    def goto(self, address: str) -> None:
        self.page.goto(address)

    def press(self, css: str) -> None:
        self.page.locator(css).click()

    def fill(self, css: str, text: str) -> None:
        self.page.locator(css).fill(text)

    def upload(self, css: str, file: Path) -> None:
        self.page.locator(css).set_input_files(file)

    def texts(self, css: str) -> list[str]:
        return self.page.locator(css).all_text_contents()

    def wait(self, css: str, *, seconds: float = 30) -> None:
        expect(self.page.locator(css).first).to_be_visible(timeout=seconds * 1000)

    def gone(self, css: str) -> None:
        expect(self.page.locator(css)).to_have_count(0)

    def download(self, css: str, folder: Path) -> Path:
        with self.page.expect_download() as download:
            self.press(css)
        file = folder / download.value.suggested_filename
        download.value.save_as(file)
        return file

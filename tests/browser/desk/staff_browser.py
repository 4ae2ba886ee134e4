"""A member of staff at a browser: what is typed and pressed at the desk."""

from collections.abc import Mapping
from dataclasses import dataclass

from devtools.scenario.gateway_client import wait_for
from tests.browser.windows import Window


@dataclass(frozen=True, kw_only=True)
class StaffBrowser:
    """A browser window with a staff certificate in it; `home` is the desk's address."""

    home: str
    window: Window

    @property
    def title(self) -> str:
        """Heading of the page."""
        return self.window.texts("h1")[0].strip()

    def open(self, path: str) -> None:
        """Open an address of the desk."""
        self.window.goto(f"{self.home}{path}")
        self.window.wait("h1")

    def find(self, text: str) -> None:
        """Search from the start page for what somebody quotes, and open the only thing that is found."""
        self.open("/")
        self.window.fill("#q", text)
        self.window.press("main form button")
        self.window.wait("h2, table")
        self._load_until(self.window.address, "tbody a", "")
        self.window.press("tbody a")
        self.window.wait(".portal-timeline")

    def until(self, css: str, text: str) -> None:
        """Load the page again until an element of this kind says so."""
        self._load_until(self.window.address.partition("?")[0], css, text)

    def _load_until(self, address: str, css: str, text: str) -> None:
        """Reload until the desk has applied the event."""

        def look() -> bool | None:
            if any(text in each for each in self.window.texts(css)):
                return True
            self.window.goto(address)
            return None

        wait_for(f"the desk to show {css} {text}", look, every=0.3)

    def fact(self, name: str) -> list[str]:
        """Return what the page says under this name."""
        names = [each.strip() for each in self.window.texts("dt")]
        values = [" ".join(each.split()) for each in self.window.texts("dd")]
        return [value for key, value in zip(names, values, strict=True) if key == name]

    def rows(self, text: str) -> list[str]:
        """Return the rows of the page's tables that say this."""
        return [" ".join(each.split()) for each in self.window.texts("tbody tr") if text in each]

    def send(self, form: str, **fields: str) -> None:
        """Fill the form that goes there in, by its controls' ids, send it, and read that it was done."""
        self._send(form, fields)
        self.window.wait(".govuk-notification-banner")

    def send_in_vain(self, form: str, **fields: str) -> None:
        """Fill it in, send it, and read what is wrong."""
        self._send(form, fields)
        self.window.wait(".govuk-error-summary")

    def _send(self, form: str, fields: Mapping[str, str]) -> None:
        for control, text in fields.items():
            self.window.fill(f"#{control.replace('_', '-')}", text)
        self.window.press(f"form[action$='/{form}'] button.govuk-button:not([formaction])")

    @property
    def said(self) -> str:
        """Confirmation shown on the page."""
        return " ".join(" ".join(self.window.texts(".govuk-notification-banner__content")).split())

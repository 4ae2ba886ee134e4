"""A Chromium window that shows pages without a network: the app, the portal or the desk, answers in this process."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, Route
from werkzeug.test import TestResponse

from deploy.local.installation import ROOT
from tests.browser.programs import TOOLS
from tests.unit.portal.page_states import State
from tests.unit.portal.stub_api import PORTAL

_STATIC: Final = (ROOT / "portal" / "static", ROOT / "backoffice" / "desk" / "static")

# All of WCAG 2.2 AA, and what its makers call good practice; one rule is not on by itself.
_AXE: Final = """axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  rules: {"target-size": {enabled: true}},
  resultTypes: ["violations"],
}).then(({violations}) => violations.map(({id, nodes}) => id + ": " + nodes.map((node) => node.html).join(" | ")))"""


@cache
def _axe_source() -> str:
    return (TOOLS / "node_modules" / "axe-core" / "axe.min.js").read_text()


@dataclass
class Reader:
    """One window of the given width."""

    context: BrowserContext
    page: Page = field(init=False)
    troubles: list[str] = field(default_factory=list)
    _shown: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._note)

    def _note(self, said: Any) -> None:
        # A page of an error's status is one, whatever the status.
        if said.type == "error" and "Failed to load resource" not in said.text:
            self.troubles.append(said.text)

    def _answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/static/"):
            route.fulfill(
                path=next(folder / Path(path).name for folder in _STATIC if (folder / Path(path).name).exists())
            )
        else:
            route.fulfill(**self._shown)

    def show(self, state: State, edition: str) -> None:
        """Load the portal's page in this state."""
        self.load(f"{PORTAL}/{edition}{state.path}", state.show(edition))

    def load(self, address: str, answer: TestResponse) -> None:
        """Load a page that was answered at this address."""
        # A page that goes on by itself would be gone before it is looked at.
        headers = {name: value for name, value in answer.headers.items() if name != "Refresh"}
        self._shown = {"status": answer.status_code, "headers": headers, "body": answer.data}
        self.page.goto(address)

    def barriers(self) -> list[str]:
        """Return what axe-core finds."""
        self.page.evaluate(_axe_source())
        found: list[str] = self.page.evaluate(_AXE)
        return found

    def width(self) -> int:
        """Return how wide the page is, in CSS pixels: more than the window means scrolling sideways."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth")
        return wide

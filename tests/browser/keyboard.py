"""A window whose mouse is unplugged: everything is reached by Tab, and every stop on the way must be seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import expect

from tests.browser.windows import ChromiumWindow

# More than any page has; so many without coming by means that it cannot be reached.
_STOPS: Final = 150
# Where the focus is: whether it is the wanted element, seen to be focused, and within the window.
_FOCUS: Final = """(css) => {
  const focused = document.activeElement;
  if (!focused || focused === document.body) return null;
  const style = getComputedStyle(focused), place = focused.getBoundingClientRect();
  return {
    wanted: focused.matches(css),
    what: focused.outerHTML.slice(0, 120),
    marked: style.outlineStyle !== "none" || style.boxShadow !== "none" || focused.matches("main"),
    inside: place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth,
  };
}"""


@dataclass(frozen=True)
class KeyboardWindow(ChromiumWindow):
    """Chromium without a mouse, 1280 by 1024 pixels enlarged four times (WCAG 2.2, 1.4.10)."""

    def __post_init__(self) -> None:
        """Make it so small."""
        self.page.set_viewport_size({"width": 320, "height": 256})

    def press(self, css: str) -> None:
        if self.page.locator(css).first.get_attribute("type") == "radio":
            self._choose(css)
            return
        self.reach(css)
        is_box = self.page.evaluate("document.activeElement.matches('input[type=checkbox], input[type=radio]')")
        self.page.keyboard.press("Space" if is_box else "Enter")

    def _choose(self, css: str) -> None:
        """Choose a radio button: Tab reaches one of its group, the arrow keys the others."""
        name = self.page.locator(css).get_attribute("name")
        self.reach(f"input[type=radio][name='{name}']")
        for _ in range(_STOPS):
            if self.page.evaluate("(css) => document.activeElement.matches(css)", css):
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{css} is not reached by the arrow keys")

    def fill(self, css: str, text: str) -> None:
        self.reach(css)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def upload(self, css: str, file: Path) -> None:
        self.reach(css)
        with self.page.expect_file_chooser() as chooser:
            self.page.keyboard.press("Space")
        chooser.value.set_files(file)

    def reach(self, css: str) -> None:
        """Press Tab until this has the focus. Fails at a stop that cannot be seen."""
        expect(self.page.locator(css).first).to_be_visible()
        self._check_width()
        # From wherever the focus is: what comes later in the order is reached without going back.
        for _ in range(_STOPS):
            stop = self.page.evaluate(_FOCUS, css)
            if stop is not None and stop["wanted"]:
                return
            self.page.keyboard.press("Tab")
            stop = self.page.evaluate(_FOCUS, css)
            assert stop is None or (stop["marked"] and stop["inside"]), f"the focus is not seen: {stop['what']}"
        raise AssertionError(f"{css} cannot be reached by the keyboard at {self.address}")

    def _check_width(self) -> None:
        """Assert that the page does not scroll sideways."""
        width = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], f"{self.page.title()} is {width[0]} pixels wide"

"""Debian's Firefox by WebDriver BiDi: puppeteer-core speaks it, this module tells that what to do, line by line."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from deploy.local.waiting import wait_until
from tests.browser.programs import NODE, TOOLS, need

# The first that fits is shown to the server, files are kept without a question, and nothing is asked of its maker.
_PREFERENCES: Final = {
    "security.default_personal_cert": "Select Automatically",
    "browser.download.folderList": 2,
    "browser.download.useDownloadDir": True,
    "browser.download.always_ask_before_handling_new_types": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


@dataclass(frozen=True)
class FirefoxWindow:
    """The only window of a Firefox; the protocol is windows.py's."""

    said: IO[str]
    heard: IO[str]
    downloads: Path

    def _do(self, name: str, *given: Any) -> Any:
        self.said.write(json.dumps([name, *given]) + "\n")
        self.said.flush()
        answer = json.loads(self.heard.readline() or '{"error": "Firefox is gone"}')
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["answer"]

    @property
    def address(self) -> str:
        return str(self._do("address"))

    def goto(self, address: str) -> None:
        self._do("goto", address)

    def press(self, css: str) -> None:
        self._do("press", css)

    def fill(self, css: str, text: str) -> None:
        self._do("fill", css, text)

    def upload(self, css: str, file: Path) -> None:
        self._do("upload", css, str(file))

    def texts(self, css: str) -> list[str]:
        return list(self._do("texts", css))

    def wait(self, css: str, *, seconds: float = 30) -> None:
        self._do("wait", css, seconds)

    def gone(self, css: str) -> None:
        self._do("gone", css)

    def download(self, css: str, folder: Path) -> Path:
        before = set(self.downloads.iterdir())
        self.press(css)
        wait_until(lambda: self._whole(before), limit=30, what="the download")
        (found,) = self._whole(before)
        return Path(shutil.move(found, folder / found.name))

    def _whole(self, before: set[Path]) -> list[Path]:
        """Return the new file; none while there is a .part beside it, to which the content goes first."""
        new = [file for file in self.downloads.iterdir() if file not in before]
        return new if len(new) == 1 and new[0].suffix != ".part" and new[0].stat().st_size else []


@contextlib.contextmanager
def window(profile: Path) -> Iterator[FirefoxWindow]:
    """Yield a Firefox with this profile, whose certificates are those of profile.py; closed after the block."""
    need("firefox-esr")
    downloads = profile / "downloads"
    downloads.mkdir()
    preferences = {**_PREFERENCES, "browser.download.dir": str(downloads)}
    given = [shutil.which("firefox-esr") or "firefox-esr", str(profile), json.dumps(preferences)]
    command = [str(NODE), str(TOOLS / "firefox.mjs"), *given]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        try:
            yield FirefoxWindow(driver.stdin, driver.stdout, downloads)
        finally:
            driver.stdin.close()
            driver.wait(20)

"""How fast the pages are on the whole system: under load by autocannon, in a browser by Lighthouse."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.demo.target import Target
from tests.browser import nss, programs
from tests.browser.portal.ar_browser import ARBrowser
from tests.browser.programs import NODE, TOOLS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_MODULES: Final = TOOLS / "node_modules"
_LOCALHOST: Final = TOOLS.parent / "localhost.cjs"
REQUESTS_A_SECOND: Final = 50
SECONDS: Final = 8
PAGES: Final = ("", "sign-in", "certificates", "renewals/{renewal}/check", "renewals/{renewal}/sign")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A signed-in AR with a draft: where the pages are, and the session's cookie."""

    home: str
    renewal: str
    cookie: str
    root: Path

    def address(self, page: str) -> str:
        """One of the pages."""
        return self.home + page.format(renewal=self.renewal)


@pytest.fixture
def visit(at_browser: Callable[..., ARBrowser], spare: Iterator[str], system: Target) -> Visit:
    """A draft of one certificate."""
    ar = at_browser("en")
    ar.sign_in()
    renewal = ar.draft(next(spare))
    cookies = ar.window.page.context.cookies(ar.home)  # type: ignore[attr-defined]  # it is Chromium's
    (cookie,) = [f"{each['name']}={each['value']}" for each in cookies]
    return Visit(home=ar.home, renewal=renewal, cookie=cookie, root=system.installation.pki.gateway / "root.pem")


def test_pages_answer_within_a_tenth_of_a_second_at_fifty_requests_a_second(visit: Visit) -> None:
    slow = {}
    for page in PAGES:
        # Other work on this machine can only make them slower: the best of three counts.
        for _ in range(3):
            if (milliseconds := percentile_97(visit, page)) < 100:
                break
        else:
            slow[page] = milliseconds
    assert not slow, slow


def percentile_97(visit: Visit, page: str) -> float:
    """Within how many milliseconds 97.5 % are answered; autocannon counts no 95 %, which is less."""
    measured = autocannon(visit, page)
    assert (measured["non2xx"], measured["errors"], measured["timeouts"]) == (0, 0, 0)
    assert measured["2xx"] >= 0.9 * REQUESTS_A_SECOND * SECONDS
    latency = measured["latency"]
    print(f"{page or 'start':28} p50 {latency['p50']} ms, p90 {latency['p90']} ms, p97.5 {latency['p97_5']} ms")
    return float(latency["p97_5"])


def autocannon(visit: Visit, page: str) -> dict[str, Any]:
    """So many requests on ten connections; time in milliseconds, of requests as they were due, not as they got sent."""
    command = [str(NODE), "--require", str(_LOCALHOST), str(_MODULES / "autocannon" / "autocannon.js"), "--json"]
    load = ["-R", str(REQUESTS_A_SECOND), "-c", "10", "-d", str(SECONDS), "-H", f"Cookie={visit.cookie}"]
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(visit.root)}
    done = subprocess.run(
        [*command, *load, visit.address(page)], env=environment, check=True, capture_output=True, text=True
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def test_lighthouse_gives_the_best_marks(visit: Visit, tmp_path: Path) -> None:
    nss.create(tmp_path / ".pki" / "nssdb", trusted=visit.root)
    poor = {}
    for page in ("", "sign-in", "certificates", "renewals/{renewal}/sign"):
        for category, marks in lighthouse(visit, page, tmp_path).items():
            print(f"{page or 'start':28} {category:16} {marks:.0f}")
            if marks < 95:
                poor[page, category] = marks
    assert not poor, poor


def lighthouse(visit: Visit, page: str, home: Path) -> dict[str, float]:
    """Marks out of 100 for a phone on a slow network, which is what it supposes. `home` has a store with the root."""
    command = [str(NODE), str(_MODULES / "lighthouse" / "cli" / "index.js"), visit.address(page), "--quiet"]
    sandbox = "--no-sandbox" if os.geteuid() == 0 else ""
    options = [
        "--output=json",
        "--only-categories=performance,accessibility,best-practices,seo",
        f"--chrome-flags=--headless=new {sandbox}",
        "--extra-headers",
        json.dumps({"Cookie": visit.cookie}),
    ]
    environment = {**os.environ, "HOME": str(home), "CHROME_PATH": programs.chromium().program}
    done = subprocess.run([*command, *options], env=environment, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["finalDisplayedUrl"] == visit.address(page)
    return {category: found["score"] * 100 for category, found in report["categories"].items()}

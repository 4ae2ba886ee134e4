"""Speed of the pages on the whole system: under load, and in a browser by Lighthouse."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import urllib3

from devtools.scenario.target import Target
from tests.browser import nss, programs
from tests.browser.portal.ar_browser import ARBrowser
from tests.browser.programs import NODE, TOOLS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_MODULES: Final = TOOLS / "node_modules"
_LIGHTHOUSE_ATTEMPTS: Final = 3
REQUESTS_A_SECOND: Final = 50
SECONDS: Final = 8
CONNECTIONS: Final = 20
PAGES: Final = ("", "sign-in", "certificates", "renewals/{renewal}/check", "renewals/{renewal}/sign")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A signed-in AR with a draft: where the pages are, and the session's cookie."""

    home: str
    renewal: str
    cookie: str
    root: Path

    def address(self, page: str) -> str:
        """Return one of the pages."""
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
            if (milliseconds := percentile_95(visit, page)) < 100:
                break
        else:
            slow[page] = milliseconds
    assert not slow, slow


def percentile_95(visit: Visit, page: str) -> float:
    """Return the milliseconds within which 95 % are answered."""
    answers = under_load(visit, page)
    assert {status for status, _ in answers} == {200}
    cuts = statistics.quantiles((milliseconds for _, milliseconds in answers), n=20)
    print(f"{page or 'start':28} p50 {cuts[9]:.0f} ms, p90 {cuts[17]:.0f} ms, p95 {cuts[18]:.0f} ms")
    return cuts[18]


def under_load(visit: Visit, page: str) -> list[tuple[int, float]]:
    """Return status and milliseconds of evenly spaced requests; time counts from when each was due.

    autocannon would send each second's fifty at once, and wait.
    """
    parts = urlsplit(visit.home)
    connections = urllib3.HTTPSConnectionPool(
        "127.0.0.1",
        parts.port,
        server_hostname=parts.hostname,
        assert_hostname=parts.hostname,
        ca_certs=str(visit.root),
        maxsize=CONNECTIONS,
        retries=False,
    )
    headers = {"Host": parts.netloc, "Cookie": visit.cookie, "Accept-Encoding": "gzip"}

    def ask(due: float) -> tuple[int, float]:
        time.sleep(max(0.0, due - time.monotonic()))
        response = connections.request("GET", urlsplit(visit.address(page)).path, headers=headers, redirect=False)
        return response.status, (time.monotonic() - due) * 1000

    begin = time.monotonic() + 0.1
    with connections, ThreadPoolExecutor(CONNECTIONS) as clients:
        return list(clients.map(ask, (begin + i / REQUESTS_A_SECOND for i in range(REQUESTS_A_SECOND * SECONDS))))


def test_lighthouse_gives_the_highest_scores(visit: Visit, tmp_path: Path) -> None:
    nss.create(tmp_path / ".pki" / "nssdb", trusted=visit.root)
    poor = {}
    for page in ("", "sign-in", "certificates", "renewals/{renewal}/sign"):
        for category, marks in lighthouse(visit, page, tmp_path).items():
            print(f"{page or 'start':28} {category:16} {marks:.0f}")
            if marks < 95:
                poor[page, category] = marks
    assert not poor, poor


def lighthouse(visit: Visit, page: str, home: Path) -> dict[str, float]:
    """Return the scores out of 100 for a phone on a slow network. `home` has a store with the root."""
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
    # On a busy machine Lighthouse itself may fail, such as when its Chrome starts too slowly; a low score stands.
    for _ in range(_LIGHTHOUSE_ATTEMPTS):
        done = subprocess.run([*command, *options], env=environment, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["finalDisplayedUrl"] == visit.address(page)
    return {category: found["score"] * 100 for category, found in report["categories"].items()}

"""Requests made to keep a parser busy cost the portal little time and memory, whatever they are."""

import time
import tracemalloc
from dataclasses import dataclass, field

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.session import COOKIE
from tests.unit.portal.stub_api import browser, full_api, portal

# werkzeug leaves the file of a part that is cut off to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")

KB = 1024
FORM = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="csr-file"; filename="a"\r\n\r\n'
SIGN_OUT = "/en/sign-out"
MAX_SECONDS = 0.15
MAX_BYTES = 16 * KB * KB
MAX_ANSWER_BYTES = 64 * KB


@dataclass(frozen=True)
class Costly:
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    media_type: str | None = None

    def sent_by(self, client: FlaskClient) -> TestResponse:
        return client.open(
            self.path,
            method="GET" if self.media_type is None else "POST",
            headers=self.headers,
            data=self.data or None,
            content_type=self.media_type,
        )


CASES: dict[str, Costly] = {
    "Accept-Language of dashes": Costly(headers={"Accept-Language": "a-" * 8000}),
    "Accept-Language of languages": Costly(headers={"Accept-Language": "a;q=0.1," * 2000}),
    "Accept-Encoding": Costly("/static/portal.css", {"Accept-Encoding": "a;q=0.1," * 2000}),
    "Range": Costly("/static/portal.css", {"Range": "bytes=" + "0-0," * 4000}),
    "If-None-Match": Costly("/static/portal.css", {"If-None-Match": '"a",' * 4000}),
    "Cookie of cookies": Costly(headers={"Cookie": "a=b;" * 4000}),
    "Cookie sealed": Costly(headers={"Cookie": f"{COOKIE}=" + "gAAA" * 2000}),
    "query": Costly("/en/sign-in?" + "a&" * 2000),
    "path": Costly("/" + "a/" * 2000),
    "form of names": Costly(SIGN_OUT, data=b"a&" * 90 * KB, media_type=FORM),
    "form of fields": Costly(SIGN_OUT, data=b"a=1&" * 45 * KB, media_type=FORM),
    "form of escapes": Costly(SIGN_OUT, data=b"csr=" + b"%41" * 60 * KB, media_type=FORM),
    "parts": Costly(SIGN_OUT, data=(PART + b"1\r\n") * 2500 + b"--x--", media_type="multipart/form-data; boundary=x"),
    "lines in a part": Costly(SIGN_OUT, data=PART + b"\r\n--" * 45 * KB, media_type="multipart/form-data; boundary=x"),
    "parameters of a part": Costly(
        SIGN_OUT,
        data=b"--x\r\nContent-Disposition: form-data; name=a;" + b"a=b;" * 45 * KB + b"\r\n\r\n1\r\n--x--",
        media_type="multipart/form-data; boundary=x",
    ),
    "media type": Costly(SIGN_OUT, data=b"a=b", media_type="multipart/form-data; " + "a=b;" * 4000 + "boundary=x"),
}


@pytest.mark.parametrize("what", CASES)
def test_costly_request_is_refused_quickly(what: str) -> None:
    case, client = CASES[what], browser(portal(full_api()))
    client.get("/en/help")

    begun = time.thread_time()
    answer = case.sent_by(client)
    seconds = time.thread_time() - begun
    tracemalloc.start()
    case.sent_by(client)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer.status_code < 500
    assert (seconds < MAX_SECONDS, peak < MAX_BYTES) == (True, True), f"{seconds:.3f} s, {peak} bytes"
    assert len(answer.data) < MAX_ANSWER_BYTES

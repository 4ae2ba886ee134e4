"""Files fetched from real web servers by names of a real resolver: what is found, and what is never reached."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.local.waiting import free_ports
from perspective.fetcher import Fetcher, LocalAccess
from perspective.observing import Observer
from perspective.resolver import Resolver
from services.issuance.dcv import methods
from shared.pki.observations import Kind, Observation, Outcome, Question, Reason
from tests.integration.perspective import strange
from tests.integration.perspective.conftest import LOCAL
from tests.integration.perspective.servers import DNS
from tests.integration.perspective.tls import make_issuer
from tests.integration.perspective.web import (
    PRIVATE,
    PUBLIC,
    VALUE,
    Page,
    Send,
    Site,
    dripping,
    flooding,
    page,
    raw,
    redirect,
    serve,
    silent,
)

PATH = "/.well-known/pki-validation/ecert.txt"
# For servers that hang, and for all others.
SHORT, LONG = 0.7, 12.0
# For a machine that is busy.
MARGIN = 5.0
HEAD = b"HTTP/1.1 200 OK\r\n"


@dataclass
class Web:
    """The site at a public address, one at an address that must never be reached, and the ports of both."""

    public: Site
    private: Site
    fetcher: Fetcher
    resolver: Resolver

    def observe(self, *questions: Question, timeout: float) -> tuple[Observation, ...]:
        return Observer(resolver=self.resolver, fetcher=self.fetcher, timeout=timeout).observe(questions)

    def fetch(self, name: str = "www.web.hk", *, timeout: float = LONG) -> Observation:
        (observation,) = self.observe(Question(Kind.FILE, name), timeout=timeout)
        return observation


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of another name by an unknown CA, which ended yesterday, with its key."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(make_issuer("unknown CA").issue("elsewhere.example", ends=timedelta(days=-1)))
    return file


@pytest.fixture(scope="module")
def running(dns: DNS, certificate: Path) -> Iterator[Web]:
    http, https = free_ports(2)
    public, private = Site(page()), Site(page(b"secret"))
    resolver = Resolver(dns.resolver)
    fetcher = Fetcher(resolver, LocalAccess(ports={80: http, 443: https}, networks=LOCAL.networks))
    with (
        serve(public, PUBLIC, http),
        serve(public, PUBLIC, https, certificate),
        serve(private, PRIVATE, http),
        serve(private, PRIVATE, https, certificate),
    ):
        yield Web(public, private, fetcher, resolver)


@pytest.fixture
def web(running: Web) -> Iterator[Web]:
    running.public.reset(page())
    yield running
    assert running.private.connections == 0


def test_file_with_the_value_is_found_and_proves_control(web: Web) -> None:
    seen = web.fetch()
    assert seen == Observation(
        kind=Kind.FILE,
        name="www.web.hk",
        outcome=Outcome.FOUND,
        values=(VALUE.decode(),),
        secure=True,
        address=PUBLIC,
    )
    assert methods.proves(seen, VALUE.decode(), cname_suffix="dcv.ca.example")
    assert web.public.requests == [f"www.web.hk{PATH}"]


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        pytest.param(page(VALUE + b"\r\n"), (VALUE.decode() + "\r\n",), id="with a line end"),
        pytest.param(page(b""), ("",), id="empty"),
        pytest.param(page(b"x" * 4096), ("x" * 4096,), id="of 4,096 bytes"),
        pytest.param(page(b"\x00\xff"), ("\\000\\255",), id="of octets"),
        pytest.param(page(VALUE, "204 No Content", "X: y"), ("",), id="204"),
        pytest.param(page(VALUE, "206 Partial"), (VALUE.decode(),), id="206"),
        pytest.param(raw(HEAD, b"\r\n", VALUE), (VALUE.decode(),), id="until the connection ends"),
        pytest.param(
            raw(HEAD, b"Transfer-Encoding: chunked\r\n\r\n20\r\n", VALUE, b"\r\n0\r\n\r\n"),
            (VALUE.decode(),),
            id="in chunks",
        ),
        pytest.param(raw(b"HTTP/1.1 100 Continue\r\n\r\n", HEAD, b"\r\n", VALUE), (VALUE.decode(),), id="after 100"),
        pytest.param(raw(b"HTTP/1.0 200 OK\n\n", VALUE), (VALUE.decode(),), id="HTTP 1.0"),
    ],
)
def test_file_is_found_as_it_is(web: Web, answer: Page, values: tuple[str, ...]) -> None:
    web.public.answer = answer
    seen = web.fetch()
    assert (seen.outcome, seen.values) == (Outcome.FOUND, values)


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_missing_file_is_absent(web: Web, status: str) -> None:
    web.public.answer = page(VALUE, status)
    assert web.fetch().outcome is Outcome.ABSENT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(page(VALUE, "500 Oops"), Reason.STATUS, id="500"),
        pytest.param(page(VALUE, "401 Unauthorized"), Reason.STATUS, id="401"),
        pytest.param(redirect("/other", 303), Reason.STATUS, id="303"),
        pytest.param(redirect("/other", 300), Reason.STATUS, id="300"),
        pytest.param(page(VALUE, "304 Not Modified"), Reason.STATUS, id="304"),
        pytest.param(page(b"x" * 4097), Reason.SIZE, id="4,097 bytes"),
        pytest.param(page(b"\x00" * 4096), Reason.SIZE, id="4,096 bytes that take four characters each"),
        pytest.param(page(VALUE, "200 OK", "X: " + "y" * 30_000), Reason.SIZE, id="a giant header"),
        pytest.param(raw(HEAD, b"X: y\r\n" * 90, b"Y: " + b"z" * 30_000), Reason.SIZE, id="many headers and a giant"),
        pytest.param(raw(HEAD, b"X: y\r\n" * 101, b"\r\n", VALUE), Reason.HTTP_MALFORMED, id="101 headers"),
        pytest.param(flooding(HEAD, b"X: y\r\n" * 100), Reason.HTTP_MALFORMED, id="headers without end"),
        pytest.param(flooding(HEAD + b"X: ", b"y" * 1000), Reason.SIZE, id="a header without end"),
        pytest.param(flooding(HEAD + b"\r\n", b"y" * 1000), Reason.SIZE, id="a body without end"),
        pytest.param(flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Reason.SIZE, id="100 without end"),
        pytest.param(
            flooding(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 500 + b"\r\na\r\n"),
            Reason.SIZE,
            id="long chunk extensions",
        ),
        pytest.param(raw(HEAD, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), Reason.HTTP_MALFORMED, id="no chunk size"),
        pytest.param(raw(b"SSH-2.0-OpenSSH\r\n\r\n"), Reason.HTTP_MALFORMED, id="not HTTP"),
        pytest.param(raw(), Reason.CONNECTION, id="nothing"),
        pytest.param(page(VALUE, "200 OK", "Content-Encoding: gzip"), Reason.HTTP_MALFORMED, id="compressed"),
        pytest.param(page(b"", "302 Found"), Reason.HTTP_MALFORMED, id="a redirect without Location"),
        pytest.param(page(b"", "302 Found", "Location: /a", "Location: /b"), Reason.HTTP_MALFORMED, id="two Locations"),
        pytest.param(silent, Reason.FETCH_TIMEOUT, id="silence"),
        pytest.param(dripping(b"", b"H", 0.1), Reason.FETCH_TIMEOUT, id="slow status"),
        pytest.param(dripping(HEAD, b"X", 0.1), Reason.FETCH_TIMEOUT, id="slow header"),
        pytest.param(dripping(HEAD + b"Content-Length: 4000\r\n\r\n", b"x", 0.1), Reason.FETCH_TIMEOUT, id="slow body"),
    ],
)
def test_bad_answer_is_no_file_and_ends_in_time(web: Web, answer: Page, reason: Reason) -> None:
    web.public.answer = answer
    started = time.monotonic()
    seen = web.fetch(timeout=SHORT if reason is Reason.FETCH_TIMEOUT else LONG)
    assert (seen.outcome, seen.reason) == (Outcome.FAILED, reason)
    assert time.monotonic() - started < SHORT + MARGIN


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "/there",
        "//www.web.hk/there",
        "http://www.web.hk/there",
        "http://www.web.hk:80/there",
        "HTTP://WWW.WEB.HK./there",
        "https://www.web.hk/there",
        "https://www.web.hk:443/there",
        "http://www.web.hk/there?a=b#c",
        "http://other.web.hk/there",
    ],
)
def test_redirect_to_a_public_address_is_followed(web: Web, location: str, status: int) -> None:
    web.public.answer = redirect(location, status)
    web.public.by_path = {"/there": page(), "/there?a=b": page()}
    assert web.fetch().outcome is Outcome.FOUND


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", Reason.REDIRECT),
        ("http://[::1]/", Reason.REDIRECT),
        ("http://[::ffff:127.0.0.1]/", Reason.REDIRECT),
        ("http://127.0.0.1/", Reason.REDIRECT),
        ("http://127.1/", Reason.REDIRECT),
        ("http://2130706433/", Reason.REDIRECT),
        ("http://0x7f000001/", Reason.UNRESOLVED),
        ("http://localhost/", Reason.ADDRESS),
        ("http://loopback.web.hk/", Reason.ADDRESS),
        ("http://metadata.web.hk/", Reason.ADDRESS),
        ("http://private.web.hk/", Reason.ADDRESS),
        ("http://mixed.web.hk/", Reason.ADDRESS),
        ("http://loopback6.web.hk/", Reason.ADDRESS),
        ("http://mapped.web.hk/", Reason.ADDRESS),
        ("http://nat64.web.hk/", Reason.ADDRESS),
        ("http://6to4.web.hk/", Reason.ADDRESS),
        ("http://alias.web.hk/", Reason.ADDRESS),
        ("https://loopback.web.hk/", Reason.ADDRESS),
        ("http://nowhere.web.hk/", Reason.UNRESOLVED),
        ("http://www.web.hk:8080/", Reason.REDIRECT),
        ("http://www.web.hk:22/", Reason.REDIRECT),
        ("http://www.web.hk:99999/", Reason.REDIRECT),
        ("http://user@www.web.hk/", Reason.REDIRECT),
        ("http://www.web.hk@127.0.0.1/", Reason.REDIRECT),
        ("http://www.web.hk\\@127.0.0.1/", Reason.REDIRECT),
        ("ftp://www.web.hk/", Reason.REDIRECT),
        ("file:///etc/passwd", Reason.REDIRECT),
        ("gopher://www.web.hk/", Reason.REDIRECT),
        ("javascript:alert(1)", Reason.REDIRECT),
        ("http:///etc", Reason.REDIRECTS),
        ("http://www.web.hk/a b", Reason.REDIRECT),
        ("http://www.web.hk/\xe9", Reason.REDIRECT),
        ("http://www.web.hk/" + "a" * 2048, Reason.REDIRECT),
        ("http://" + "a" * 64 + ".hk/", Reason.REDIRECT),
        ("http://[::1/", Reason.REDIRECT),
        (PATH, Reason.REDIRECTS),
    ],
)
def test_redirect_to_anywhere_else_is_refused(web: Web, location: str, reason: Reason) -> None:
    web.public.answer = redirect(location)
    seen = web.fetch()
    assert (seen.outcome, seen.reason) == (Outcome.FAILED, reason)


def chain(length: int) -> dict[str, Page]:
    """Return redirects, one after the other, to the file."""
    return {f"/{n}": redirect(f"/{n + 1}") for n in range(1, length)} | {f"/{length}": page()}


def test_10_redirects_are_followed_and_11_are_not(web: Web) -> None:
    web.public.answer, web.public.by_path = redirect("/1"), chain(10)
    assert web.fetch().outcome is Outcome.FOUND
    web.public.by_path = chain(11)
    assert web.fetch().reason is Reason.REDIRECTS
    assert len(web.public.requests) == 11 + 11


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("loopback.web.hk", Reason.ADDRESS),
        ("metadata.web.hk", Reason.ADDRESS),
        ("loopback6.web.hk", Reason.ADDRESS),
        ("mixed.web.hk", Reason.ADDRESS),
        ("many.web.hk", Reason.RECORDS),
        ("nowhere.web.hk", Reason.UNRESOLVED),
        ("closed.web.hk", Reason.CONNECTION),
        ("www.expired.hk", Reason.BOGUS),
    ],
)
def test_name_that_does_not_lead_to_a_public_server_is_refused(web: Web, name: str, reason: Reason) -> None:
    seen = web.fetch(name)
    assert (seen.outcome, seen.reason) == (Outcome.FAILED, reason)


def test_second_address_is_tried_if_the_first_is_closed(web: Web) -> None:
    assert web.fetch("second.web.hk").outcome is Outcome.FOUND


def test_rebinding_name_is_resolved_once_and_reached_where_it_was_checked(web: Web) -> None:
    name = "a.rebinding.hk"
    seen = web.fetch(name)
    assert (seen.outcome, seen.address) == (Outcome.FOUND, PUBLIC)
    assert strange.REBINDING.asked[f"{name}."] == 1


def test_rebinding_name_of_a_redirect_is_checked_again(web: Web) -> None:
    web.public.answer = redirect("http://b.rebinding.hk/again")
    assert web.fetch("b.rebinding.hk").reason is Reason.ADDRESS


def test_redirects_share_one_time_limit(web: Web) -> None:
    def slow(send: Send) -> None:
        time.sleep(0.3)  # each redirect is quick enough alone, all together are not
        redirect("/next")(send)

    web.public.answer = slow
    started = time.monotonic()
    assert web.fetch(timeout=SHORT).reason is Reason.FETCH_TIMEOUT
    assert time.monotonic() - started < SHORT + MARGIN


def test_hanging_server_delays_no_other_question(web: Web) -> None:
    web.public.answer = silent
    questions = [Question(Kind.FILE, "www.web.hk")] * 20 + [Question(Kind.CAA, "www.web.hk")]
    started = time.monotonic()
    *files, caa = web.observe(*questions, timeout=SHORT)
    assert {each.reason for each in files} == {Reason.FETCH_TIMEOUT}
    assert caa.outcome is Outcome.ABSENT
    assert time.monotonic() - started < SHORT + MARGIN


def test_more_hanging_servers_than_threads_end_in_time(web: Web) -> None:
    web.public.answer = silent
    started = time.monotonic()
    questions = [Question(Kind.FILE, "www.web.hk")] * 127 + [Question(Kind.CAA, "www.web.hk")]
    seen = web.observe(*questions, timeout=SHORT)
    assert {each.reason for each in seen} == {Reason.FETCH_TIMEOUT, Reason.DNS_TIMEOUT}
    assert time.monotonic() - started < SHORT + MARGIN

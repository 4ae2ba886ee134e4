"""Malformed requests: each one gets a problem document from the first component that sees the fault."""

import uuid
from collections.abc import Iterator

import pytest

from deploy.gateway.rules import PORTAL_HOST
from devtools.scenario.gateway_client import API_HOST, SIGN_IN_HOST
from devtools.scenario.journey import Journey
from tests.system.door import JSON, Door, signed_in

NOBODY = "00000000-0000-4000-8000-000000000000"
POSTS = (
    "/application/v1/renewals",
    f"/application/v1/renewals/{NOBODY}/submission",
    f"/application/v1/renewals/{NOBODY}/cancellation",
    "/identity/v1/attestations",
    "/payment/v1/checkouts",
    "/payment/v1/provider-webhooks",
    f"/issuance/v1/orders/{NOBODY}/csr",
    f"/issuance/v1/orders/{NOBODY}/acceptance",
    f"/issuance/v1/orders/{NOBODY}/revocation",
)


@pytest.fixture(autouse=True)
def unharmed(victim: Journey) -> Iterator[None]:
    """The victim's renewal is unchanged by all requests."""
    before = (victim.ar.renewal(victim.id), victim.ar.get(f"/issuance/v1/renewals/{victim.id}/orders").json())
    yield
    assert before == (victim.ar.renewal(victim.id), victim.ar.get(f"/issuance/v1/renewals/{victim.id}/orders").json())


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/readyz", "/livez", "//metrics", "/identity/v1/../metrics", "/identity/v1/%2e%2e/metrics"),
        *("/identity/v1/.%2e/%2e./metrics", "/identity/v1\\..\\..\\metrics", "/identity/v1/..;/metrics", "/"),
        *("/IDENTITY/v1/me", "/identity/v1", "/mailing/v1/mails", "/mailing/metrics", "/identity/metrics"),
        *("/issuance/v1/../../mailing/metrics", "/identity/v1/me/", "/identity/v1/me;a=b", "/identity/v1/unknown"),
        *("/application/v1/renewals/%ff%fe", f"/application/v1/renewals/{NOBODY}%20", "/issuance/v1/orders/1/csr"),
        *(
            f"/application/v1/renewals/{NOBODY}'--",
            "/identity/v1/%252e%252e/metrics",
            "/.git/config",
        ),
    ],
)
def test_malformed_path_is_404(door: Door, victim: Journey, path: str) -> None:
    assert door.get(path, victim.ar.token).refusal == (404, "not-found")


@pytest.mark.parametrize("path", ["/identity/v1/%74okens", "/identity/v1/tokens", "/identity/v1/./t%6fkens"])
def test_sign_in_paths_are_404_on_the_api_host_in_every_spelling(door: Door, path: str) -> None:
    assert door.ask("POST", path, headers=[("X-Forwarded-Client-Cert", "x")]).refusal == (404, "not-found")


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "/en/../livez", "//readyz", "/%72eadyz"])
def test_health_pages_are_404_on_the_portal_host_in_every_spelling(door: Door, path: str) -> None:
    reply = door.ask("GET", path, host=PORTAL_HOST)
    assert (reply.status, reply.headers["content-type"].split(";")[0]) == (404, "text/html")


@pytest.mark.parametrize(
    "path", ["/identity/v1/..%2fmetrics", "/identity/v1/..%5cmetrics", "/identity%2fv1/me", "/identity/v1/me%00", "*"]
)
def test_escaped_slash_or_nul_is_refused_by_the_gateway(door: Door, victim: Journey, path: str) -> None:
    assert door.get(path, victim.ar.token).refusal == (400, "bad-request")


@pytest.mark.parametrize(("path", "where"), [("/identity/v1/me?a=%00", "query"), ("/issuance/v1/crl?%00=a", "name")])
def test_nul_in_a_query_is_refused(door: Door, victim: Journey, path: str, where: str) -> None:
    assert door.get(path, victim.ar.token).refusal == (400, "malformed-request"), where


def test_huge_path_query_or_header_is_a_problem(door: Door, victim: Journey) -> None:
    token = victim.ar.token
    assert door.get("/identity/v1/" + "a" * 5_000, token).status == 414
    assert door.get("/identity/v1/" + "a" * 5_000, token).slug
    assert door.get("/identity/v1/me?" + "a" * 20_000, token).slug
    assert door.get("/identity/v1/" + "a" * 40_000, token).refusal == (431, "headers-too-large")
    for size in (20_000, 40_000):
        reply = door.ask("GET", "/identity/v1/me", headers=[*signed_in(token), ("X-Long", "b" * size)])
        assert reply.status == 431
        assert reply.slug
    many = [(f"X-{number}", "b") for number in range(90)]
    assert door.ask("GET", "/identity/v1/me", headers=many).refusal == (431, "headers-too-large")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_method_that_a_route_lacks_is_refused(door: Door, victim: Journey, method: str) -> None:
    reply = door.ask(method, "/identity/v1/me", headers=signed_in(victim.ar.token))
    assert reply.refusal == (405, "method-not-allowed")


@pytest.mark.parametrize("method", ["CONNECT", "FOO", "get"])
def test_malformed_method_is_refused(door: Door, method: str) -> None:
    assert door.ask(method, "/identity/v1/me").refusal == (400, "bad-request")


SMUGGLED = b"0\r\n\r\nGET /application/v1/renewals HTTP/1.1\r\nHost: api.ecert.localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 4", 400),
        (b"Content-Length: 4\r\nContent-Length: 5", 400),
        (b"Content-Length: 4, 5", 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length: +4", 400),
        (b"Content-Length: 0x4", 400),
        (b"Content-Length : 4", 400),
        (b"Transfer-Encoding: xchunked", 501),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: chunked, identity", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 501),
        (b"X-A: a\x00b\r\nContent-Length: 0", 400),
        (b"X-A: a\x01b\r\nContent-Length: 0", 400),
        (b"X(A): b\r\nContent-Length: 0", 400),
        (b": b\r\nContent-Length: 0", 400),
    ],
)
def test_ambiguous_request_length_is_refused(door: Door, victim: Journey, lines: bytes, status: int) -> None:
    token = victim.ar.token.encode()
    head = b"POST /application/v1/renewals HTTP/1.1\r\nHost: api.ecert.localhost\r\nAuthorization: Bearer " + token
    reply = door.send(head + b"\r\nContent-Type: application/json\r\n" + lines + b"\r\n\r\n" + SMUGGLED)
    assert reply.status == status
    assert reply.slug in ("bad-request", "gateway")


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"GET /identity/v1/me HTTP/1.1\r\n\r\n", (400, "bad-request")),
        (b"GET /identity/v1/me HTTP/1.1\r\nHost: evil.example\r\n\r\n", (421, "misdirected-request")),
        (b"GET /identity/v1/me HTTP/1.1\r\nHost: signin.ecert.localhost\r\n\r\n", (421, "misdirected-request")),
        (b"GET http://evil.example/identity/v1/me HTTP/1.1\r\nHost: a\r\n\r\n", (421, "misdirected-request")),
        (b"GET /identity/v1/me HTTP/1.0\r\nHost: api.ecert.localhost\r\n\r\n", (426, "gateway")),
        (b"GET /identity/v1/me\r\n\r\n", (426, "gateway")),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", (400, "bad-request")),
    ],
)
def test_request_for_another_host_is_refused(door: Door, raw: bytes, refusal: tuple[int, str]) -> None:
    assert door.send(raw).refusal == refusal


def test_unknown_expectation_is_a_problem(door: Door, victim: Journey) -> None:
    reply = door.post("/application/v1/renewals", {}, victim.ar.token, ("Expect", "a miracle"))
    assert reply.refusal == (417, "expectation-failed")


BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"1",
    "no JSON": b"{",
    "a web page": b"<html></html>",
    "invalid UTF-8": b'{"csr": "\xff\xfe"}',
    "a NUL": b'{"attestation": "\\u0000"}',
    "a NUL in a name": b'{"\\u0000": 1}',
    "a lone surrogate": b'{"attestation": "\\ud800"}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "a long number": b'{"renewal_id": ' + b"9" * 5_000 + b"}",
    "not a number": b'{"renewal_id": NaN}',
    "an unknown field": b'{"admin": true}',
    "wrong types": b'{"items": 1, "attestation": [], "renewal_id": {}, "csr": null, "pins": [1], "reason": {}}',
    "a megabyte": b'{"csr": "' + b"x" * 1_000_000 + b'"}',
    "a byte too many": b'{"csr": "' + b"x" * (256 * 1024 - 10) + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_body_is_a_problem_on_every_route(door: Door, victim: Journey, name: str) -> None:
    for path in POSTS:
        reply = door.post(path, BODIES[name], victim.ar.token)
        assert reply.slug, path
        assert reply.status in (400, 404, 413, 422), path
        assert reply.status == 413 or len(BODIES[name]) <= 256 * 1024, path
    reply = door.ask(
        "POST",
        "/identity/v1/checkout-authorisations",
        headers=[JSON],
        body=BODIES[name],
        host=SIGN_IN_HOST,
        person="chan-mei-ling",
    )
    assert reply.slug


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "\xff"])
def test_body_of_another_media_type_is_not_read_as_json(door: Door, victim: Journey, kind: str) -> None:
    headers = [*signed_in(victim.ar.token), ("Content-Type", kind), ("Idempotency-Key", uuid.uuid4().hex)]
    body = b'{"items": [{"srn": "0002310001"}]}'
    reply = door.ask("POST", "/application/v1/renewals", headers=headers, body=body)
    assert reply.refusal == (422, "invalid-request")


@pytest.mark.parametrize("host", [API_HOST, SIGN_IN_HOST])
def test_body_of_a_megabyte_is_refused_with_every_header(door: Door, host: str) -> None:
    path = "/identity/v1/tokens" if host == SIGN_IN_HOST else "/payment/v1/provider-webhooks"
    for kind in ("text/plain", "application/json") * 5:
        reply = door.ask("POST", path, headers=[("Content-Type", kind)], body=b"x" * 1_000_000, host=host)
        assert reply.refusal == (413, "body-too-large")


@pytest.mark.parametrize("key", ["", "short", "x" * 201, "with a space", "\xff" * 20, "a\tb\tc\td\te"])
def test_malformed_idempotency_key_is_refused(door: Door, victim: Journey, key: str) -> None:
    headers = [*signed_in(victim.ar.token), JSON, ("Idempotency-Key", key)]
    reply = door.ask("POST", "/application/v1/renewals", headers=headers, body=b"{}")
    assert reply.refusal == (400, "idempotency-key-missing")


def test_idempotency_key_is_good_for_one_request_of_one_person(door: Door, victim: Journey) -> None:
    key = uuid.uuid4().hex
    body = {"items": [{"srn": "0002310004"}]}
    first = door.post("/application/v1/renewals", body, victim.ar.token, key=key)
    again = door.post("/application/v1/renewals", body, victim.ar.token, key=key)
    assert (first.status, first.body) == (201, again.body)
    other = door.post("/application/v1/renewals", {"items": [{"srn": "0002310001"}]}, victim.ar.token, key=key)
    assert other.refusal == (422, "idempotency-key-reused")
    stranger = door.sign_in("lee-siu-fong").json["access_token"]
    assert door.post("/application/v1/renewals", body, stranger, key=key).refusal == (409, "not-eligible")


def test_direct_request_at_a_socket_reveals_nothing_more(door: Door, victim: Journey) -> None:
    headers = [*signed_in(victim.ar.token), ("SCRIPT_NAME", "/identity"), ("X-Forwarded-Client-Cert", "Cert=x")]
    assert door.straight("identity", "GET", "/identity/v1/../metrics", headers).refusal == (404, "not-found")
    assert door.straight("identity", "GET", "/identity/metrics", headers).refusal == (404, "not-found")
    assert door.straight("identity", "POST", "/identity/v1/tokens", headers).slug == "client-certificate-malformed"
    assert door.straight("identity", "GET", "/" + "x" * 9_000).status == 414
    assert door.straight("mailing", "POST", "/mailing/v1/mails").refusal == (404, "not-found")

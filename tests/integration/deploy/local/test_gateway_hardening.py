"""Hostile clients of the real Envoy: methods, ids, old signatures, many addresses, and bodies that never end."""

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.gateway.rules import (
    CONTAINER_MEMORY_MIB,
    HSTS,
    MAX_BODY_BYTES,
    MAX_STREAMS,
    METHODS,
    PROBLEMS,
    REQUESTS_A_MINUTE,
    SIGN_IN_TLS_1_2_HOST,
    TRACE_HEADERS,
    hosts,
)
from deploy.local import pki as local_pki
from deploy.local.waiting import wait_until
from tests.integration.deploy.local.echo import Answer, Client
from tests.integration.deploy.local.gateway import API, PAGES, SIGN_IN, gateway_with

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MIB = 1024 * 1024


@pytest.mark.parametrize("method", ["BREW", "get", "PROPFIND", "TRACE", "M" * 200])
def test_method_that_no_service_answers_is_refused_by_the_gateway(client: Client, method: str) -> None:
    try:
        answer = client.ask(API, "/identity/v1/me", method=method)
    except ConnectionError:  # what HTTP/2 itself forbids
        assert client.http2
        assert method == "TRACE"
        return
    assert answer.status in (400, 404, 405)
    assert answer.json["type"].startswith("urn:ecert:problem:")
    if answer.status == 405:
        assert answer.headers["allow"] == ", ".join(METHODS)


def test_client_request_ids_reach_a_service_under_other_names_only(client: Client) -> None:
    sent = {"x-request-id": "mine-0000-1111", "traceparent": TRACEPARENT, "tracestate": "a=b", "baggage": "a=b"}
    answer = client.ask(API, "/identity/v1/me", headers=sent)
    (request_id,) = answer.sent("x-request-id")
    assert request_id != sent["x-request-id"]
    assert answer.sent("x-client-request-id") == [sent["x-request-id"]]
    assert answer.sent("x-client-traceparent") == [TRACEPARENT]
    assert [answer.sent(name) for name in TRACE_HEADERS] == [[], [], []]


def test_client_cannot_set_headers_of_the_gateway(client: Client) -> None:
    forged = {"x-client-request-id": "forged", "x-client-traceparent": "forged"}
    answer = client.ask(API, "/identity/v1/me", headers=forged)
    assert b"forged" not in answer.body


@pytest.mark.parametrize("host", [host.name for host in hosts()])
@pytest.mark.parametrize(
    "request_", [{"path": "/nowhere"}, {"path": "/", "method": "POST", "body": b"x" * (MAX_BODY_BYTES + 1)}]
)
def test_every_host_sends_hsts_on_its_own_answers(client: Client, host: str, request_: dict[str, str]) -> None:
    assert_hsts(client.ask(host, **request_))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/identity/v1/me", "/payment/v1/checkouts", "/identity/v1/%2f"])
def test_hsts_is_on_answers_of_services_and_of_the_gateway(client: Client, path: str) -> None:
    assert_hsts(client.ask(API, path))


def test_hsts_is_on_the_answer_to_malformed_http(gateway: Client) -> None:
    context = ssl.create_default_context(cafile=gateway.root)
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=API) as secure,
    ):
        secure.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nhost : b\r\n\r\n")
        answer = secure.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 400")
    assert f"{HSTS[0]}: {HSTS[1]}" in answer.lower()


def assert_hsts(answer: Answer) -> None:
    assert answer.headers.get(HSTS[0]) == HSTS[1], answer


def handshake(gateway: Client, pki: local_pki.PKI, host: str, algorithms: str, *version: str) -> bool:
    """Return whether openssl's client gets an answer with a client certificate and one of these algorithms."""
    person = pki.people / "chan-mei-ling.pem"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-servername", host, "-quiet"]
    command += ["-cert", str(person), "-key", str(person.with_suffix(".key")), "-client_sigalgs", algorithms]
    command += ["-sigalgs", f"ECDSA+SHA256:{algorithms}"]
    command += ["-cipher", "DEFAULT:@SECLEVEL=0", *version, "-CAfile", str(gateway.root), "-verify_return_error"]
    request = f"POST /identity/v1/tokens HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    run = subprocess.run(command, input=request.encode(), capture_output=True, timeout=20)
    return b"x-forwarded-client-cert" in run.stdout


@pytest.mark.parametrize(
    ("algorithms", "taken"), [("RSA+SHA256", True), ("RSA+SHA256:RSA+SHA1", True), ("RSA+SHA1", False)]
)
def test_sha_1_signature_is_refused_over_tls_1_2(
    gateway: Client, pki: local_pki.PKI, algorithms: str, taken: bool
) -> None:
    assert handshake(gateway, pki, SIGN_IN, algorithms, "-tls1_2") is taken


@pytest.fixture(scope="module")
def limited(pki: local_pki.PKI) -> Iterator[Client]:
    """A gateway that counts, behind a proxy that names its clients."""
    with gateway_with(pki, ["identity"], limits_rates=True, trusted_hops=1) as made:
        yield made


def asked(limited: Client, address: str) -> Answer:
    return limited.ask(SIGN_IN, "/identity/v1/tokens", headers={"x-forwarded-for": address})


def asked_from(limited: Client, address: str) -> int:
    return asked(limited, address).status


def test_rate_limit_counts_an_ipv6_network_as_one_client(limited: Client) -> None:
    most = REQUESTS_A_MINUTE[SIGN_IN]
    answers = [asked_from(limited, f"2001:db8:1:2::{number:x}") for number in range(most)]
    assert set(answers) == {200}
    # The bucket is filled a little meanwhile.
    more = (f"2001:db8:1:2:ffff::{number:x}" for number in range(most))
    refused = next(each for address in more if (each := asked(limited, address)).status != 200)
    assert (refused.status, refused.json["type"]) == (429, f"urn:ecert:problem:{PROBLEMS[429][0]}")
    assert asked_from(limited, "2001:db8:1:3::1") == 200
    assert asked_from(limited, "192.0.2.1") == 200
    assert asked_from(limited, "192.0.2.2") == 200


def page_status(client: Client) -> int:
    """Return the status of a page, 0 if the gateway was too busy to answer."""
    try:
        return client.ask(PAGES, "/en/").status
    except OSError:
        return 0


# The largest bodies, and small ones on many connections: Envoy keeps 16 KiB for each, and resets them last.
@pytest.mark.parametrize(("connections", "length"), [(160, MAX_BODY_BYTES - 1000), (1000, 12_000)])
def test_endless_bodies_do_not_exhaust_the_gateways_memory(pki: local_pki.PKI, connections: int, length: int) -> None:
    node, script = Path(sys.executable).parent / "node", Path(__file__).with_name("hold.cjs")
    with gateway_with(pki, ["identity", "portal"]) as client:
        asked = {
            "port": client.port,
            "root": str(client.root),
            "host": API,
            "path": "/identity/v1/me",
            "connections": connections,
            "streams": 100,
            "length": length,
        }
        most = 0
        envoy, end = psutil.Process(client.process), time.monotonic() + 8
        with holding([str(node), str(script), json.dumps(asked)]):
            while time.monotonic() < end:
                most = max(most, envoy.memory_info().rss)
                time.sleep(0.1)  # between two samples of its memory
            wait_until(lambda: page_status(client) in (200, 503), limit=60, what="an answer amid the bodies")
        assert most < CONTAINER_MEMORY_MIB * MIB, f"{most // MIB} MiB"
        wait_until(lambda: page_status(client) == 200, limit=30, what="the page once the bodies are gone")


@contextlib.contextmanager
def holding(command: list[str]) -> Iterator[None]:
    """Run a client that holds its connections until its standard input is closed."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as holder:
        try:
            yield
        finally:
            holder.communicate(b"", timeout=20)


def test_one_connection_buffers_at_most_4_mib() -> None:
    assert MAX_STREAMS * MAX_BODY_BYTES <= 4 * MIB


@pytest.mark.parametrize(
    ("host", "algorithms", "version", "taken"),
    [
        (SIGN_IN_TLS_1_2_HOST, "RSA+SHA256", (), True),
        (SIGN_IN_TLS_1_2_HOST, "RSA+SHA1", (), False),
        (SIGN_IN_TLS_1_2_HOST, "RSA+SHA256", ("-tls1_3",), False),
        (SIGN_IN, "RSA+SHA256", (), False),
        (SIGN_IN, "RSA-PSS+SHA256", (), True),
    ],
)
def test_token_without_pss_signs_in_only_at_the_tls_1_2_host(
    gateway: Client, pki: local_pki.PKI, host: str, algorithms: str, version: tuple[str, ...], taken: bool
) -> None:
    assert handshake(gateway, pki, host, algorithms, *version) is taken

"""Routes of the gateway and the identity that it passes on; tried on the real Envoy, over HTTP/1.1 and HTTP/2."""

import socket
import ssl
import urllib.parse

import pytest
from cryptography import x509

from deploy.gateway.rules import FORGEABLE_HEADERS, IDENTITY_HEADER, PLATFORM_PATHS, PROBLEMS, SIGN_IN_PATHS
from deploy.local import pki as local_pki
from tests.integration.deploy.local.echo import Client
from tests.integration.deploy.local.gateway import API, PAGES, SIGN_IN


@pytest.mark.parametrize("service", ["identity", "application", "issuance"])
def test_path_reaches_its_service_unchanged(client: Client, service: str) -> None:
    answer = client.ask(API, f"/{service}/v1/things?a=b")
    assert (answer.status, answer.json["path"]) == (200, f"/{service}/v1/things?a=b")


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/metrics", "/livez", "/readyz", "/identity/metrics", "/identity/v1/../../metrics"),
        *(
            "/identity/v1/%74okens",
            "/identity/v1/..;/metrics",
            "/mailing/v1/anything",
            "/identity",
            "/identityx/v1/me",
            "//metrics",
        ),
    ],
)
def test_unknown_path_is_404(client: Client, path: str) -> None:
    answer = client.ask(API, path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {"type": "urn:ecert:problem:not-found", "title": PROBLEMS[404][1], "status": 404}


@pytest.mark.parametrize("path", SIGN_IN_PATHS)
def test_certificate_is_passed_on_the_sign_in_host(client: Client, pki: local_pki.PKI, path: str) -> None:
    file = pki.people / "chan-mei-ling.pem"
    answer = client.ask(SIGN_IN, path, method="POST", body=b"{}", certificate=file)
    (element,) = answer.sent(IDENTITY_HEADER)
    (pem,) = [part.removeprefix("Cert=").strip('"') for part in element.split(";") if part.startswith("Cert=")]
    assert x509.load_pem_x509_certificate(urllib.parse.unquote(pem).encode()) == x509.load_pem_x509_certificate(
        file.read_bytes()
    )


def test_request_without_a_certificate_has_no_certificate_header(client: Client) -> None:
    answer = client.ask(SIGN_IN, "/identity/v1/tokens", method="POST", headers={IDENTITY_HEADER: 'Cert="forged"'})
    assert answer.status == 200
    assert answer.sent(IDENTITY_HEADER) == []


def test_forged_header_is_replaced_by_the_real_certificate(client: Client, pki: local_pki.PKI) -> None:
    answer = client.ask(
        SIGN_IN,
        "/identity/v1/tokens",
        headers={IDENTITY_HEADER: 'Cert="forged"'},
        certificate=pki.people / "lee-siu-fong.pem",
    )
    (element,) = answer.sent(IDENTITY_HEADER)
    assert "forged" not in element


@pytest.mark.parametrize("host", [API, SIGN_IN])
@pytest.mark.parametrize(
    "header",
    [*FORGEABLE_HEADERS, "X-SSL-Client-Cert", "x-ssl-anything", "X-Envoy-Upstream-Rq-Timeout-Ms", "Client_Cert"],
)
def test_no_header_that_claims_an_identity_gets_through(client: Client, host: str, header: str) -> None:
    answer = client.ask(host, SIGN_IN_PATHS[0], headers={header: "forged"})
    assert answer.status == (200 if host == SIGN_IN else 404) or answer.sent(header.lower()) == []
    if host == API:
        answer = client.ask(host, "/identity/v1/me", headers={header: "forged", IDENTITY_HEADER: "Cert=forged"})
    assert b"forged" not in answer.body


def test_api_host_neither_requests_nor_passes_a_certificate(client: Client, pki: local_pki.PKI) -> None:
    answer = client.ask(API, "/identity/v1/me", certificate=pki.people / "chan-mei-ling.pem")
    assert answer.sent(IDENTITY_HEADER) == []


def test_sign_in_host_serves_only_its_own_paths(client: Client) -> None:
    assert client.ask(SIGN_IN, "/identity/v1/me").status == 404
    assert client.ask(SIGN_IN, "/application/v1/renewals").status == 404


@pytest.mark.parametrize("path", SIGN_IN_PATHS)
def test_api_host_does_not_serve_sign_in_paths(client: Client, path: str) -> None:
    assert client.ask(API, path, method="POST").status == 404


def test_sign_in_for_the_portal_keeps_its_query(client: Client, pki: local_pki.PKI) -> None:
    path = "/identity/v1/authorise?redirect_uri=https%3A%2F%2Fportal.example%2Fsigned-in&state=a%2Bb"
    answer = client.ask(SIGN_IN, path, certificate=pki.people / "chan-mei-ling.pem")
    assert answer.json["path"] == path
    assert len(answer.sent(IDENTITY_HEADER)) == 1


@pytest.mark.parametrize("path", ["/", "/en/", "/zh-hant/renewals/1?text=1", "/static/portal.css", "/identity/v1/me"])
def test_every_page_is_the_portal_s(client: Client, path: str) -> None:
    answer = client.ask(PAGES, path)
    assert (answer.status, answer.json["path"], answer.sent("host")) == (200, path, [PAGES])


@pytest.mark.parametrize("path", [*PLATFORM_PATHS, "/en/../metrics", "//metrics"])
def test_health_pages_of_the_portal_are_not_public(client: Client, path: str) -> None:
    assert client.ask(PAGES, path).status == 404


def test_portal_host_neither_requests_a_certificate_nor_passes_an_identity(client: Client, pki: local_pki.PKI) -> None:
    forged = {IDENTITY_HEADER: 'Cert="forged"', "X-SSL-Client-Cert": "forged", "X-Remote-User": "forged"}
    answer = client.ask(PAGES, "/en/", headers=forged, certificate=pki.people / "chan-mei-ling.pem")
    assert answer.sent(IDENTITY_HEADER) == []
    assert b"forged" not in answer.body


@pytest.mark.parametrize(("host", "sni"), [(PAGES, SIGN_IN), (SIGN_IN, PAGES), (PAGES, API), (API, PAGES)])
def test_connection_to_another_host_does_not_reach_the_portal_nor_the_other_way(
    client: Client, host: str, sni: str
) -> None:
    assert client.ask(host, "/", sni=sni).status == 421


def test_connection_to_one_host_does_not_reach_the_other(client: Client) -> None:
    answer = client.ask(SIGN_IN, "/identity/v1/tokens", sni=API)
    assert (answer.status, answer.json["type"]) == (421, "urn:ecert:problem:misdirected-request")


def test_certificate_of_an_unknown_ca_fails_the_handshake(client: Client, pki: local_pki.PKI) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.ask(SIGN_IN, "/identity/v1/tokens", certificate=pki.gateway / "tls.pem")


def test_expired_e_cert_reaches_identity_and_gets_a_reason(client: Client, pki: local_pki.PKI) -> None:
    answer = client.ask(SIGN_IN, "/identity/v1/tokens", certificate=pki.people / "wong-ka-ho-expired.pem")
    assert len(answer.sent(IDENTITY_HEADER)) == 1


def test_no_session_of_the_sign_in_host_can_be_resumed(client: Client, pki: local_pki.PKI) -> None:
    context = ssl.create_default_context(cafile=client.root)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.people / "chan-mei-ling.pem", pki.people / "chan-mei-ling.key")
    assert not _second_is_resumed(client, context, SIGN_IN)
    assert _second_is_resumed(client, context, API)  # the test would see it


def _second_is_resumed(client: Client, context: ssl.SSLContext, host: str) -> bool:
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", client.port)) as plain,
            context.wrap_socket(plain, server_hostname=host, session=session) as secure,
        ):
            session, resumed = secure.session, bool(secure.session_reused)
    return resumed


def test_unknown_server_name_is_refused_in_the_handshake(client: Client) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.ask("other.localhost", "/")

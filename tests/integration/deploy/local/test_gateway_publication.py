"""The plain host of the real Envoy: published files and nothing else."""

import http.client
from collections.abc import Iterator

import pytest

from deploy.gateway.rules import PUBLICATION_HOST, REQUESTS_A_MINUTE
from deploy.local import pki as local_pki
from tests.integration.deploy.local.echo import Answer, Client
from tests.integration.deploy.local.gateway import gateway_with


@pytest.fixture(scope="module")
def plain(pki: local_pki.PKI) -> Iterator[Client]:
    """A gateway that counts, behind a proxy that names its clients."""
    with gateway_with(pki, ["issuance"], limits_rates=True, trusted_hops=1) as made:
        yield made


def ask(plain: Client, path: str, *, method: str = "GET", host: str = PUBLICATION_HOST, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", plain.plain_port, timeout=10)
    try:
        connection.request(method, path, headers={"host": host, **headers})
        found = connection.getresponse()
        names = {name.lower(): value for name, value in found.getheaders()}
        return Answer(status=found.status, headers=names, body=found.read())
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["crl", "root"])
def test_published_files_come_from_issuance(plain: Client, kind: str) -> None:
    answer = ask(plain, f"/{kind}/a.{kind}")
    assert answer.status == 200
    assert answer.json["path"] == f"/issuance/v1/publications/{kind}/a.{kind}"


@pytest.mark.parametrize("host", [f"{PUBLICATION_HOST}:80", PUBLICATION_HOST.upper()])
def test_the_host_may_be_written_with_a_port_or_in_capitals(plain: Client, host: str) -> None:
    assert ask(plain, "/crl/a.crl", host=host).status == 200


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/", PUBLICATION_HOST, 404),
        ("/issuance/v1/crl", PUBLICATION_HOST, 404),
        ("/crl/../issuance/v1/orders", PUBLICATION_HOST, 404),
        ("/crl/..%2f..%2forders", PUBLICATION_HOST, 400),
        ("/metrics", PUBLICATION_HOST, 404),
        ("/identity/v1/me", PUBLICATION_HOST, 404),
        ("/crl/a.crl", "api.ecert.localhost", 421),
    ],
)
def test_nothing_else_is_served_without_tls(plain: Client, path: str, host: str, status: int) -> None:
    answer = ask(plain, path, host=host)
    assert answer.status == status
    assert "strict-transport-security" not in answer.headers


def test_who_claims_to_be_somebody_is_nobody(plain: Client) -> None:
    answer = ask(plain, "/crl/a.crl", **{"x-forwarded-client-cert": "forged", "x-ssl-client": "forged"})
    assert b"forged" not in answer.body


def test_a_client_that_asks_too_often_is_refused(plain: Client) -> None:
    address = {"x-forwarded-for": "192.0.2.77"}
    most = REQUESTS_A_MINUTE[PUBLICATION_HOST]
    answers = {ask(plain, "/crl/a.crl", **address).status for _ in range(most + most // 3)}
    assert answers == {200, 429}

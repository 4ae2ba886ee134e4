"""Published files, as a relying party fetches them."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask.testing import FlaskClient

from deploy.local import authority
from services.issuance import work
from services.issuance.publication import Publication, UnfitPublication
from tests.integration.services.issuance.world import World
from tests.unit.services.issuance.pki import ADDRESSES, NOW

CRLS, CERTIFICATES = "/issuance/v1/publications/crl/", "/issuance/v1/publications/root/"
ROOT = authority.root("A Root CA (Test)", "ARoot", begins=NOW, years=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The root's certificate and its CRL, as the root has given them."""
    (tmp_path / "ARoot.crt").write_bytes(ROOT.certificate.public_bytes(Encoding.DER))
    (tmp_path / "ARoot.crl").write_bytes(authority.crl(ROOT, [], NOW))
    (tmp_path / "..data").mkdir()  # as Kubernetes has beside them
    (tmp_path / ".hidden.crt").write_bytes(b"none of ours")
    return tmp_path


@pytest.fixture
def client(world: World, folder: Path) -> FlaskClient:
    """The HTTP app with that folder."""
    return world.app(publication_folder=folder).test_client()


def test_the_crl_is_under_the_name_that_certificates_have(world: World, client: FlaskClient) -> None:
    url = CRLS + ADDRESSES.crl_url.rpartition("/")[2]
    assert client.get(url).status_code == 503
    work.publish_next_crl(world.pool, world.issuer, clock=world.clock)
    answer = client.get(url)
    assert (answer.status_code, answer.content_type) == (200, "application/pkix-crl")
    assert x509.load_der_x509_crl(answer.data).issuer == world.issuer.ca.certificate.subject
    assert client.get(url, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    head = client.head(url)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])
    assert not answer.headers["ETag"].startswith("W/")


def test_the_issuing_cas_certificate_is_under_the_name_that_certificates_have(
    world: World, client: FlaskClient
) -> None:
    answer = client.get(CERTIFICATES + ADDRESSES.ca_issuers_url.rpartition("/")[2])
    assert (answer.data, answer.content_type) == (world.issuer.ca.der, "application/pkix-cert")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [(f"{CRLS}ARoot.crl", "application/pkix-crl"), (f"{CERTIFICATES}ARoot.crt", "application/pkix-cert")],
)
def test_what_the_root_gave_is_published_and_replaced_at_once(
    client: FlaskClient, folder: Path, path: str, media_type: str
) -> None:
    file = folder / path.rpartition("/")[2]
    answer = client.get(path)
    assert (answer.data, answer.content_type) == (file.read_bytes(), media_type)
    assert answer.cache_control.public
    file.write_bytes(b"another one")
    again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (200, b"another one")


@pytest.mark.parametrize(
    "path",
    [
        f"{CRLS}other.crl",
        f"{CRLS}ARoot.crt",
        f"{CERTIFICATES}ARoot.crl",
        f"{CERTIFICATES}.hidden.crt",
        f"{CERTIFICATES}..%2f..%2fetc%2fpasswd",
        f"{CERTIFICATES}%2e%2e",
        f"{CRLS}*.crl",
        f"{CRLS}" + "x" * 5000,
    ],
)
def test_nothing_else_is_published(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_a_file_that_is_too_large_is_not_read(client: FlaskClient, folder: Path) -> None:
    with (folder / "large.crl").open("wb") as large:
        large.truncate(10 * 1024 * 1024 + 1)
    assert client.get(f"{CRLS}large.crl").status_code == 404


@pytest.mark.parametrize(("name", "content"), [("a.crl", b"0"), ("a.crt", b"0"), ("a.pem", b"x"), ("note.txt", b"x")])
def test_the_process_does_not_start_with_what_is_neither_list_nor_certificate(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UnfitPublication, match=name):
        Publication.load(crl_url=ADDRESSES.crl_url, ca_issuers_url=ADDRESSES.ca_issuers_url, folder=folder)


@pytest.mark.parametrize(
    "url", ["https://ca.example.hk/crl/a.crl", "http://ca.example.hk/a.crl", "http://ca.example.hk/crl/", "a.crl"]
)
def test_an_address_that_the_gateway_does_not_lead_here_is_refused(url: str) -> None:
    with pytest.raises(UnfitPublication):
        Publication.load(crl_url=url, ca_issuers_url=ADDRESSES.ca_issuers_url, folder=None)

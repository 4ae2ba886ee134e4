"""Repository of accepted certificates: searches, and files that openssl reads."""

import subprocess
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from flask.testing import FlaskClient

from services.issuance import revocation
from services.issuance.ca.crl import RevocationReason
from tests.integration.services.issuance.world import Renewal, World
from tests.unit.services.issuance.pki import NOW

SEARCH = "/issuance/v1/repository/certificates"
MEDIA_TYPES = {
    "der": "application/pkix-cert",
    "pem": "application/x-pem-file",
    "chain": "application/pem-certificate-chain",
    "pkcs7": "application/pkcs7-mime; smime-type=certs-only",
}
# How openssl reads each form; the output begins with the subject of the leaf.
OPENSSL = {
    "der": ("x509", "-inform", "DER", "-noout", "-subject"),
    "pem": ("x509", "-inform", "PEM", "-noout", "-subject"),
    "chain": ("storeutl", "-noout", "-text", "-certs", "/dev/stdin"),
    "pkcs7": ("pkcs7", "-inform", "DER", "-print_certs", "-noout"),
}


def accept(world: World, renewal: Renewal, position: int = 0) -> str:
    """Accept a certificate as its AR. Returns its serial number."""
    with world.begin() as tx:
        return revocation.accept(tx, renewal.items[position].item_id, renewal.caller).serial


@pytest.fixture
def client(world: World) -> FlaskClient:
    """The HTTP app, for everybody."""
    return world.app().test_client()


def search(client: FlaskClient, **query: Any) -> dict[str, Any]:
    answer = client.get(SEARCH, query_string=query)
    assert answer.status_code == 200, answer.json
    found: dict[str, Any] = answer.json or {}
    return found


def serials(client: FlaskClient, **query: Any) -> list[str]:
    return [each["serial"] for each in search(client, **query)["certificates"]]


def test_only_accepted_certificates_are_published(world: World, client: FlaskClient) -> None:
    renewal = world.issued(["www.example.hk"])
    ((serial,),) = world.rows("SELECT serial FROM certificates")
    queries = ({"server_name": "www.example.hk"}, {"serial": serial}, {"srn": "0000000001"})
    for query in queries:
        assert serials(client, **query) == []
    assert client.get(f"{SEARCH}/{serial}/der").status_code == 404
    assert accept(world, renewal) == serial
    for query in queries:
        assert serials(client, **query) == [serial]
    assert client.get(f"{SEARCH}/{serial}/der").status_code == 200
    world.rows("UPDATE certificates SET given_out = false RETURNING 1")
    for query in queries:
        assert serials(client, **query) == []
    assert client.get(f"{SEARCH}/{serial}/der").status_code == 404


def test_listing_says_what_the_certificate_says_and_nothing_else(world: World, client: FlaskClient) -> None:
    renewal = world.issued(["*.xn--j6w193g.example.hk"])
    serial = accept(world, renewal)
    with world.begin() as tx:
        revocation.revoke_own(tx, renewal.items[0].item_id, RevocationReason.SUPERSEDED, renewal.caller)
    ((der,),) = world.rows("SELECT der FROM certificates")
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (listed,) = search(client, serial=serial)["certificates"]
    assert listed == {
        "serial": serial,
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "organisation": "例子有限公司 Example Limited",
        "server_names": names.get_values_for_type(x509.DNSName),
        "unicode_names": ["*.香港.example.hk", "香港.example.hk"],
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "revoked_at": world.now.isoformat(),
        "revocation_reason": "superseded",
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("www.example.hk", {"www.example.hk"}),
        ("WWW.Example.HK", {"www.example.hk"}),
        ("b.example.hk", {"a.example.hk"}),  # the second name of that one
        ("example.hk", set()),
        ("shop.example.hk", {"*.shop.example.hk"}),  # its base name
        ("*.shop.example.hk", {"*.shop.example.hk"}),
        ("till.shop.example.hk", {"*.shop.example.hk"}),
        ("one.till.shop.example.hk", set()),
        ("*.example.hk", set()),
        ("香港.example.hk", {"xn--j6w193g.example.hk"}),
        ("xn--j6w193g.example.hk", {"xn--j6w193g.example.hk"}),
        ("香港。example。hk", {"xn--j6w193g.example.hk"}),
        ("unknown.example.hk", set()),
    ],
)
def test_server_name_finds_the_certificates_that_cover_it(
    world: World, client: FlaskClient, name: str, found: set[str]
) -> None:
    ordered = (["www.example.hk"], ["a.example.hk", "b.example.hk"], ["*.shop.example.hk"], ["xn--j6w193g.example.hk"])
    renewal = world.issued(*ordered)
    for position in range(len(ordered)):
        accept(world, renewal, position)
    assert {each["server_names"][0] for each in search(client, server_name=name)["certificates"]} == found


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"server_name": "www.example.hk", "srn": "0000000001"},
        {"server_name": ""},
        {"server_name": "*.com.hk"},
        {"server_name": "a_b.example.hk"},
        {"server_name": "192.0.2.1"},
        {"serial": "xyz"},
        {"serial": "1" * 101},
        {"srn": "%"},
        {"srn": "1"},
        {"srn": "0000000001", "limit": 0},
        {"srn": "0000000001", "limit": 101},
        {"srn": "0000000001", "after": "A"},
        {"organisation": "Example"},
    ],
)
def test_other_searches_are_refused(client: FlaskClient, query: dict[str, Any]) -> None:
    answer = client.get(SEARCH, query_string=query)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")


def test_pages_list_every_certificate_once_newest_first(world: World, client: FlaskClient) -> None:
    made = []
    for _ in range(5):
        renewal = world.issued(["www.example.hk"])
        made.append(accept(world, renewal))
        if len(made) != 3:  # two of them at the same moment
            world.now += timedelta(minutes=1)
    pages: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        page = search(client, srn="0000000001", limit=2, **after)
        pages.append([each["serial"] for each in page["certificates"]])
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert [len(page) for page in pages] == [2, 2, 1]
    listed = [serial for page in pages for serial in page]
    assert set(listed) == set(made)
    moments = dict(world.rows("SELECT serial, issued_at FROM certificates"))
    assert [moments[serial] for serial in listed] == sorted(moments.values(), reverse=True)
    assert search(client, srn="0000000001", after="0") == {"certificates": [], "next": None}


@pytest.mark.parametrize("spelling", [str.upper, lambda serial: quote(":".join([serial[:2], serial[2:]]))])
def test_serial_number_may_be_spelled_as_programs_show_it(world: World, client: FlaskClient, spelling: Any) -> None:
    serial = accept(world, world.issued(["www.example.hk"]))
    assert client.get(f"{SEARCH}/{spelling(serial)}/der").status_code == 200
    assert serials(client, serial=spelling(serial).replace("%3A", ":")) == [serial]


@pytest.mark.parametrize("form", MEDIA_TYPES)
def test_every_form_is_read_by_openssl_and_may_be_cached(world: World, client: FlaskClient, form: str) -> None:
    renewal = world.issued(["www.example.hk"])
    serial = accept(world, renewal)
    url = f"{SEARCH}/{serial}/{form}"
    answer = client.get(url)
    assert (answer.status_code, answer.content_type) == (200, MEDIA_TYPES[form])
    assert answer.headers["Content-Disposition"].startswith(f"attachment; filename={serial}")
    assert answer.cache_control.public
    etag = answer.headers["ETag"]
    assert not etag.startswith("W/")
    head = client.head(url)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", etag)
    assert int(head.headers["Content-Length"]) == len(answer.data)
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
    shown = subprocess.run(["openssl", *OPENSSL[form]], input=answer.data, capture_output=True, check=True).stdout
    assert b"Example Limited" in shown
    with_chain = {"chain": 2, "pkcs7": 2}
    assert len(certificates(form, answer.data)) == with_chain.get(form, 1)
    assert x509.load_der_x509_certificate(client.get(f"{SEARCH}/{serial}/der").data) in certificates(form, answer.data)
    own = client.get(
        f"/issuance/v1/orders/{renewal.items[0].item_id}/certificate/{form}", headers=world.headers(renewal)
    )
    assert (own.status_code, own.content_type, own.data) == (200, MEDIA_TYPES[form], answer.data)
    assert own.headers["Cache-Control"] == "no-store"


def certificates(form: str, content: bytes) -> list[x509.Certificate]:
    match form:
        case "der":
            return [x509.load_der_x509_certificate(content)]
        case "pkcs7":
            return pkcs7.load_der_pkcs7_certificates(content)
        case _:
            return x509.load_pem_x509_certificates(content)


@pytest.mark.parametrize("path", ["0/der", "xyz/der", "{serial}/jks", "{serial}/", "..%2f..%2f/der"])
def test_nothing_else_is_downloaded(world: World, client: FlaskClient, path: str) -> None:
    renewal = world.issued(["www.example.hk"])
    serial = accept(world, renewal)
    answer = client.get(f"{SEARCH}/{path.format(serial=serial)}")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
    own = f"/issuance/v1/orders/{renewal.items[0].item_id}/certificate/jks"
    assert client.get(own, headers=world.headers(renewal)).status_code == 404


def test_form_of_a_certificate_is_its_ars_before_it_is_accepted(world: World, client: FlaskClient) -> None:
    renewal, other = world.issued(["www.example.hk"]), world.issued(["b.example.hk"], subscriber_id="SUB-2")
    url = f"/issuance/v1/orders/{renewal.items[0].item_id}/certificate/der"
    assert client.get(url).status_code == 401
    assert client.get(url, headers=world.headers(other)).status_code == 404
    answer = client.get(url, headers=world.headers(renewal))
    assert x509.load_der_x509_certificate(answer.data).not_valid_before_utc == NOW.replace(microsecond=0)


def test_ca_certificates_are_published_in_pem_too(world: World, client: FlaskClient) -> None:
    ca = world.issuer.ca
    answer = client.get("/issuance/v1/publications/root/ca.pem")
    assert (answer.status_code, answer.content_type) == (200, "application/x-pem-file")
    assert answer.data == ca.certificate.public_bytes(Encoding.PEM)
    assert not answer.headers["ETag"].startswith("W/")
    assert client.head("/issuance/v1/publications/root/ca.pem").status_code == 200
    assert client.get("/issuance/v1/publications/root/other.pem").status_code == 404

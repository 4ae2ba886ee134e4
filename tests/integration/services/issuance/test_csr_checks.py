"""A CSR tried before the PINs are there gets intake's own words, and leaves nothing behind."""

import uuid
from hashlib import sha256
from typing import Any

import pytest
from asn1crypto import csr as asn1_csr
from asn1crypto import keys as asn1_keys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from flask.testing import FlaskClient

from tests.integration.services.issuance.world import Renewal, World
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key, info_of, private_pem, rsa_key

URL = "/issuance/v1/csr-checks"
NAME = "www.example.hk"


@pytest.fixture
def client(world: World) -> FlaskClient:
    return world.app().test_client()


@pytest.fixture
def renewal(world: World) -> Renewal:
    return world.opened([NAME])


def check(client: FlaskClient, world: World, renewal: Renewal, **body: Any) -> Any:
    headers = {"Authorization": world.headers(renewal)["Authorization"]}
    return client.post(URL, json=body, headers=headers)


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(key.public_key().public_bytes(der, info)).digest()


def state(world: World) -> list[tuple[Any, ...]]:
    tables = ("orders", "pins", "key_owners", "blocked_keys", "outbox", "audit_log", "idempotency_keys")
    return [row for table in tables for row in world.rows(f"SELECT '{table}', t::text FROM {table} t ORDER BY 2")]


def test_good_csr_is_shown_as_it_would_be_certified(world: World, client: FlaskClient, renewal: Renewal) -> None:
    before = state(world)
    key = ec_key()
    der = csr_der(key, common_name=NAME, names=[NAME])

    answer = check(client, world, renewal, csr=as_pem(der), item_id=str(renewal.items[0].item_id))

    assert answer.status_code == 200, answer.text
    assert answer.json == {
        "refusal": None,
        "reason": None,
        "title": None,
        "detail": None,
        "key_kind": "ec-p256",
        "csr_sha256": sha256(der).hexdigest(),
        "spki_sha256": spki(key).hex(),
        "subject": f"CN={NAME}",
        "signature_algorithm": "ecdsa-sha256",
        "names": [NAME],
        "certificate_names": [NAME],
        "differences": [],
    }
    assert state(world) == before


def test_csr_is_checked_against_names_before_the_order_exists(
    world: World, client: FlaskClient, renewal: Renewal
) -> None:
    der = csr_der(rsa_key(), names=["*.example.hk"])

    answer = check(client, world, renewal, csr=as_pem(der), server_names=["*.Example.hk"]).json

    assert (answer["refusal"], answer["key_kind"]) == (None, "rsa-2048")
    assert answer["certificate_names"] == ["*.example.hk", "example.hk"]


def test_differing_names_are_shown_as_missing_or_surplus(world: World, client: FlaskClient, renewal: Renewal) -> None:
    der = csr_der(common_name="evil.example.hk", names=[NAME, "old.example.hk"])

    answer = check(client, world, renewal, csr=as_pem(der), server_names=[NAME, "new.example.hk"]).json

    assert (answer["refusal"], answer["reason"]) == ("csr-names-differ", "csr-names-differ")
    assert answer["names"] == [NAME, "old.example.hk", "evil.example.hk"]
    assert answer["differences"] == [
        {"server_name": "evil.example.hk", "kind": "surplus"},
        {"server_name": "old.example.hk", "kind": "surplus"},
        {"server_name": "new.example.hk", "kind": "missing"},
    ]


BAD = {
    "nothing": "",
    "no CSR": "x",
    "two": as_pem(csr_der()) * 2,
    "a certificate beside it": as_pem(csr_der()) + as_pem(csr_der(), "CERTIFICATE"),
    "broken": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
    "another's signature": as_pem(csr_der()[:-1] + b"\0"),
    "too large": "x" * 100_000,
    "weak key": as_pem(csr_der(rsa_key(1024))),
    "curve": as_pem(csr_der(ec_key(ec.SECP256K1()))),
    "other names": as_pem(csr_der(names=["evil.example.hk"])),
    "private key": as_pem(csr_der()) + private_pem(ec_key()),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_check_and_submission_report_the_same_problems(
    world: World, client: FlaskClient, renewal: Renewal, text: str
) -> None:
    item_id = renewal.items[0].item_id
    sent = {"reference": renewal.items[0].reference, "pins": world.letters(renewal), "csr": text}
    submitted = client.post(f"/issuance/v1/orders/{item_id}/csr", json=sent, headers=world.headers(renewal)).json
    assert submitted is not None

    by_order = check(client, world, renewal, csr=text, item_id=str(item_id)).json
    by_names = check(client, world, renewal, csr=text, server_names=[NAME]).json

    for answer in (by_order, by_names):
        assert f"urn:ecert:problem:{answer['refusal']}" == submitted["type"]
        assert answer["reason"] == submitted["reason"]
        assert answer["title"] == submitted["title"]
        assert answer["detail"] == submitted["detail"]


def test_private_key_beside_the_csr_is_blocked_permanently(world: World, client: FlaskClient, renewal: Renewal) -> None:
    key = ec_key()

    answer = check(client, world, renewal, csr=private_pem(key), server_names=[NAME]).json

    assert answer["refusal"] == "private-key-pasted"
    assert world.rows("SELECT spki_sha256 FROM blocked_keys") == [(spki(key),)]
    answer = check(client, world, renewal, csr=as_pem(csr_der(key, names=[NAME])), server_names=[NAME]).json
    assert (answer["refusal"], answer["reason"]) == ("key-not-allowed", "key-blocked")


def test_key_of_a_csr_beside_an_unreadable_private_key_is_blocked(
    world: World, client: FlaskClient, renewal: Renewal
) -> None:
    key = ec_key()
    text = as_pem(csr_der(key, names=[NAME])) + private_pem(key, b"secret")

    answer = check(client, world, renewal, csr=text, server_names=[NAME]).json

    assert answer["refusal"] == "private-key-pasted"
    assert world.rows("SELECT spki_sha256 FROM blocked_keys") == [(spki(key),)]


def test_csr_of_another_subscriber_does_not_block_its_key(world: World, client: FlaskClient) -> None:
    key, victim = ec_key(), world.opened([NAME])
    text = as_pem(csr_der(key, names=[NAME]))
    world.submit(victim, csr=text)
    world.issue()
    stranger = world.opened([NAME], subscriber_id="SUB-2", ar_id="AR-2")
    public = key.public_key().public_numbers()
    forged = asn1_keys.ECPrivateKey(
        {
            "version": 1,
            "private_key": 5,
            "parameters": asn1_keys.ECDomainParameters(name="named", value="secp256r1"),
            "public_key": asn1_keys.ECPointBitString.from_coords(public.x, public.y),
        }
    )
    for private in (private_pem(ec_key(), b"secret"), as_pem(forged.dump(), "EC PRIVATE KEY")):
        answer = check(client, world, stranger, csr=text + private, server_names=[NAME]).json
        assert answer["refusal"] == "private-key-pasted"
    assert spki(key) not in [row[0] for row in world.rows("SELECT spki_sha256 FROM blocked_keys")]
    assert "certificate-revoked" not in world.announced_types(victim.renewal_id)


def test_csr_signed_with_an_old_digest_is_accepted(world: World, client: FlaskClient, renewal: Renewal) -> None:
    key, info = rsa_key(), info_of(csr_der(rsa_key(), names=[NAME]))
    der = asn1_csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": {"algorithm": "sha1_rsa"},
            "signature": key.sign(info.dump(), padding.PKCS1v15(), hashes.SHA1()),
        }
    ).dump()

    answer = check(client, world, renewal, csr=as_pem(der), server_names=[NAME]).json

    assert (answer["refusal"], answer["reason"]) == ("csr-signature-too-weak", "csr-signature-too-weak")
    assert "SHA-256" in answer["title"]


def test_used_key_is_found_before_the_pins_arrive(world: World, client: FlaskClient) -> None:
    key, earlier = ec_key(), world.opened([NAME])
    text = as_pem(csr_der(key, names=[NAME]))
    world.submit(earlier, csr=text)
    later, stranger = world.opened([NAME]), world.opened([NAME], subscriber_id="SUB-2", ar_id="AR-2")

    def reason(renewal: Renewal, **what: Any) -> Any:
        return check(client, world, renewal, csr=text, **what).json["reason"]

    assert reason(later, item_id=str(later.items[0].item_id)) == "key-used-before"
    assert reason(later, server_names=[NAME]) == "key-used-before"
    assert reason(stranger, server_names=[NAME]) == "key-of-another-subscriber"
    # The very CSR that the order has is no other use of its key.
    assert reason(earlier, item_id=str(earlier.items[0].item_id)) is None


def test_order_that_awaits_no_csr_is_reported(world: World, client: FlaskClient) -> None:
    renewal = world.issued([NAME])
    text = as_pem(csr_der(names=[NAME]))

    answer = check(client, world, renewal, csr=text, item_id=str(renewal.items[0].item_id)).json

    assert (answer["refusal"], answer["reason"]) == ("not-in-this-state", None)


def test_order_of_another_subscriber_is_404(world: World, client: FlaskClient, renewal: Renewal) -> None:
    text, item_id = as_pem(csr_der(names=[NAME])), str(renewal.items[0].item_id)
    strangers: tuple[dict[str, Any], ...] = ({"subscriber_id": "SUB-2"}, {"ar_id": "AR-2"})
    for fields in strangers:
        stranger = world.opened(["www.example.com.hk"], **fields)
        answer = check(client, world, stranger, csr=text, item_id=item_id)
        assert (answer.status_code, answer.json["type"]) == (404, "urn:ecert:problem:order-not-found")
    assert check(client, world, renewal, csr=text, item_id=str(uuid.uuid4())).status_code == 404


def test_request_without_a_token_is_401(client: FlaskClient) -> None:
    answer = client.post(URL, json={"csr": "x", "server_names": [NAME]})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"csr": "x"},
        {"server_names": [NAME]},
        {"csr": "x", "server_names": []},
        {"csr": "x", "server_names": NAME},
        {"csr": "x", "server_names": ["localhost"]},
        {"csr": "x", "server_names": [7]},
        {"csr": "x", "item_id": "x"},
        {"csr": "x", "item_id": None},
        {"csr": "x", "item_id": str(uuid.UUID(int=1)), "server_names": [NAME]},
        {"csr": 7, "server_names": [NAME]},
        {"csr": "x", "server_names": [NAME], "more": 1},
    ],
)
def test_bad_request_is_a_problem(world: World, client: FlaskClient, renewal: Renewal, body: dict[str, Any]) -> None:
    answer = check(client, world, renewal, **body)

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")

"""issuance over HTTP: good requests, and any bad one as a problem and never as a 500."""

import hashlib
import json
import secrets
import uuid
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from flask.testing import FlaskClient

from services.issuance import work
from services.issuance.pins import pins
from tests.integration.services.issuance.world import Renewal, World
from tests.support.builders import FINGERPRINTS
from tests.support.problems import problem, slug
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key, private_pem


@pytest.fixture
def client(world: World) -> FlaskClient:
    return world.app().test_client()


def body(world: World, renewal: Renewal, position: int = 0, **changed: Any) -> dict[str, Any]:
    command = world.submission(renewal, position)
    return {"reference": command.reference, "pins": dict(command.pins), "csr": command.csr} | changed


def csr_url(renewal: Renewal) -> str:
    return f"/issuance/v1/orders/{renewal.items[0].item_id}/csr"


def test_ar_gets_from_pin_envelopes_to_an_accepted_certificate(world: World, client: FlaskClient) -> None:
    renewal = world.opened(["*.example.hk"])
    orders = client.get(f"/issuance/v1/renewals/{renewal.renewal_id}/orders", headers=world.headers(renewal)).json
    assert orders is not None
    assert orders[0]["state"] == "awaiting-csr"
    [pin] = orders[0]["pins"]
    assert (pin["server_name"], pin["state"], pin["tries_left"]) == ("*.example.hk", "sealed", 5)
    headers, sent = world.headers(renewal), body(world, renewal)
    received = client.post(csr_url(renewal), json=sent, headers=headers)
    assert received.status_code == 200
    assert received.json is not None
    assert received.json["state"] == "csr-received"
    assert client.post(csr_url(renewal), json=sent, headers=headers).json == received.json
    item = f"/issuance/v1/orders/{renewal.items[0].item_id}"
    assert client.get(f"{item}/certificate", headers=world.headers(renewal)).status_code == 404
    world.issue()
    chain = client.get(f"{item}/certificate", headers=world.headers(renewal))
    assert chain.content_type == "application/pem-certificate-chain"
    leaf, ca = x509.load_pem_x509_certificates(chain.data)
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.example.hk", "example.hk"]
    accepted = client.post(f"{item}/acceptance", headers=world.headers(renewal))
    assert accepted.json is not None
    assert accepted.json["accepted_at"]
    assert world.announced_types(renewal.renewal_id) == [
        "order-opened",
        "csr-received",
        "certificate-issued",
        "certificate-accepted",
    ]


def test_request_fingerprints_do_not_reveal_pins(world: World, client: FlaskClient) -> None:
    renewal = world.opened(["www.example.hk"])
    sent = json.dumps(body(world, renewal)).encode()
    headers = world.headers(renewal) | {"Content-Type": "application/json"}
    assert client.post(csr_url(renewal), data=sent, headers=headers).status_code == 200
    (row,) = world.rows("SELECT * FROM idempotency_keys")
    bare = hashlib.sha256(b"\0".join([b"POST", f"{csr_url(renewal)}?".encode(), sent])).hexdigest()
    assert bare not in row
    assert FINGERPRINTS.of("POST", f"{csr_url(renewal)}?", sent) in row


def test_revocation_by_an_ar_is_on_the_public_crl(world: World, client: FlaskClient) -> None:
    assert client.get("/issuance/v1/crl").status_code == 503
    renewal = world.issued(["www.example.hk"])
    url = f"/issuance/v1/orders/{renewal.items[0].item_id}/revocation"
    refused = client.post(url, json={"reason": "privilegeWithdrawn"}, headers=world.headers(renewal))
    assert refused.status_code == 422
    revoked = client.post(url, json={"reason": "keyCompromise"}, headers=world.headers(renewal))
    assert revoked.json is not None
    assert revoked.json["revocation_reason"] == "keyCompromise"
    work.publish_next_crl(world.pool, world.issuer, clock=world.clock)
    answer = client.get("/issuance/v1/crl")
    assert (answer.content_type, answer.cache_control.max_age) == ("application/pkix-crl", 3600)
    assert answer.cache_control.public
    serial = int(revoked.json["serial"], 16)
    assert x509.load_der_x509_crl(answer.data).get_revoked_certificate_by_serial_number(serial) is not None
    again = client.get("/issuance/v1/crl", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_ca_certificate_is_public(world: World, client: FlaskClient) -> None:
    answer = client.get("/issuance/v1/ca-certificate")
    assert answer.content_type == "application/pkix-cert"
    assert answer.data == world.issuer.ca.der


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"csr": ""}, "csr-refused"),
        ({"csr": "x"}, "csr-refused"),
        ({"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"}, "csr-refused"),
        ({"csr": as_pem(csr_der()) * 2}, "csr-refused"),
        ({"csr": "x" * 100_000}, "csr-refused"),
        ({"csr": as_pem(csr_der()) + private_pem(ec_key())}, "private-key-pasted"),
        ({"csr": as_pem(csr_der(names=["evil.example.hk"]))}, "csr-names-differ"),
        ({"csr": 7}, "invalid-request"),
        ({"csr": None}, "invalid-request"),
        ({"pins": "1234"}, "invalid-request"),
        ({"pins": {"www.example.hk": 1234}}, "invalid-request"),
        ({"pins": {}}, "pins-missing"),
        ({"pins": {"other.example.hk": "1234"}}, "pins-missing"),
        ({"pins": {"www.example.hk": "1234"}}, "pin-slip"),
        ({"pins": {"www.example.hk": "😀" * 50}}, "pin-slip"),
        ({"reference": "I-0"}, "wrong-reference"),
        ({"reference": ["I-0"]}, "invalid-request"),
        ({"surprise": 1}, "invalid-request"),
    ],
)
def test_bad_submission_is_a_problem_and_uses_no_attempt(
    world: World, client: FlaskClient, changed: dict[str, Any], expected: str
) -> None:
    renewal = world.opened(["www.example.hk"])
    answer = client.post(csr_url(renewal), json=body(world, renewal, **changed), headers=world.headers(renewal))
    assert slug(answer) == expected
    assert world.rows("SELECT tries FROM pins") == [(0,)]
    # What is no submission at all is nobody's.
    assert len(refusals(world)) == (0 if expected == "invalid-request" else 1)


def refusals(world: World) -> list[tuple[Any, ...]]:
    return world.rows(
        "SELECT action, subject, details ->> 'reason' FROM audit_log WHERE action IN ('csr-refused', 'pin-wrong') "
        "ORDER BY id"
    )


def test_refused_csr_makes_one_audit_row_with_the_reason(world: World, client: FlaskClient) -> None:
    renewal = world.opened(["www.example.hk"])
    item, nowhere = str(renewal.items[0].item_id), str(uuid.uuid4())
    wrong = {"www.example.hk": pins.make(secrets.token_bytes)}
    attempts: list[tuple[str, dict[str, Any], str, str | None]] = [
        (item, {"reference": "I-0"}, "csr-refused", "wrong-reference"),
        (item, {"csr": "x"}, "csr-refused", "csr-not-a-csr"),
        (item, {"csr": as_pem(csr_der()) + private_pem(ec_key())}, "csr-refused", "csr-private-key-pasted"),
        (item, {"pins": wrong}, "pin-wrong", None),
        (nowhere, {}, "csr-refused", "order-not-found"),
    ]
    for item_id, changed, _, _ in attempts:
        url = f"/issuance/v1/orders/{item_id}/csr"
        assert client.post(url, json=body(world, renewal, **changed), headers=world.headers(renewal)).status_code >= 400
    assert client.post(csr_url(renewal), json=body(world, renewal), headers=world.headers(renewal)).status_code == 200
    late = body(world, renewal, csr=as_pem(csr_der(names=["www.example.hk"])))
    assert client.post(csr_url(renewal), json=late, headers=world.headers(renewal)).status_code == 409

    expected = [(action, item_id, why) for item_id, _, action, why in attempts]
    assert refusals(world) == [*expected, ("csr-refused", item, "not-in-this-state")]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"csr": "\\u0000"}', b'{"csr": "\\ud800"}', b"[" * 100_000]
)
def test_body_that_is_no_json_object_is_a_problem(world: World, client: FlaskClient, raw: bytes) -> None:
    renewal = world.opened(["www.example.hk"])
    answer = client.post(csr_url(renewal), data=raw, content_type="application/json", headers=world.headers(renewal))
    status, _ = problem(answer)
    assert status < 500


def test_body_of_a_megabyte_is_413(world: World, client: FlaskClient) -> None:
    renewal = world.opened(["www.example.hk"])
    answer = client.post(csr_url(renewal), json={"csr": "x" * 1_000_000}, headers=world.headers(renewal))
    assert answer.status_code == 413


def test_differing_names_are_listed_in_the_problem(world: World, client: FlaskClient) -> None:
    renewal = world.opened(["www.example.hk"])
    sent = body(world, renewal, csr=as_pem(csr_der(names=["evil.example.hk"])))
    answer = client.post(csr_url(renewal), json=sent, headers=world.headers(renewal)).json
    assert answer is not None
    assert (answer["surplus"], answer["missing"]) == (["evil.example.hk"], ["www.example.hk"])


def test_wrong_pin_reports_the_remaining_attempts(world: World, client: FlaskClient) -> None:
    renewal = world.opened(["a.example.hk", "b.example.hk"])
    letters = world.letters(renewal)
    sent = body(world, renewal, pins=letters | {"a.example.hk": letters["b.example.hk"]})
    answer = client.post(csr_url(renewal), json=sent, headers=world.headers(renewal))
    assert slug(answer) == "pin-wrong"
    assert answer.json is not None
    assert answer.json["wrong"] == [{"server_name": "a.example.hk", "tries_left": 4}]


def test_missing_token_and_other_subscriber_get_nothing(world: World, client: FlaskClient) -> None:
    renewal = world.issued(["www.example.hk"])
    stranger = Renewal(items=renewal.items, renewal_id=renewal.renewal_id, subscriber_id="SUB-2", ar_id="AR-2")
    item = f"/issuance/v1/orders/{renewal.items[0].item_id}"
    calls = [
        ("GET", f"/issuance/v1/renewals/{renewal.renewal_id}/orders"),
        ("POST", f"{item}/csr"),
        ("GET", f"{item}/certificate"),
        ("POST", f"{item}/acceptance"),
        ("POST", f"{item}/revocation"),
    ]
    for method, url in calls:
        sent = body(world, renewal) if url.endswith("csr") else None if method == "GET" else {}
        assert client.open(url, method=method, json=sent).status_code == 401
        assert client.open(url, method=method, json=sent, headers=world.headers(stranger)).status_code == 404
        missing = url.replace(str(renewal.renewal_id), str(uuid.uuid4()))
        missing = missing.replace(str(renewal.items[0].item_id), str(uuid.uuid4()))
        assert client.open(missing, method=method, json=sent, headers=world.headers(renewal)).status_code == 404


def test_openapi_document_is_served(client: FlaskClient) -> None:
    answer = client.get("/issuance/v1/openapi.json").json
    assert answer is not None
    assert "/issuance/v1/orders/{item_id}/csr" in answer["paths"]


@pytest.mark.parametrize(("minutes", "status"), [(0, 200), (9, 200), (11, 401)])
def test_revocation_needs_a_sign_in_of_the_last_ten_minutes(
    world: World, client: FlaskClient, minutes: int, status: int
) -> None:
    renewal = world.issued(["www.example.hk"])
    headers = world.headers(renewal)
    world.now += timedelta(minutes=minutes)
    answer = client.post(f"/issuance/v1/orders/{renewal.items[0].item_id}/revocation", json={}, headers=headers)
    assert answer.status_code == status
    revoked = "certificate-revoked" in world.announced_types(renewal.renewal_id)
    assert revoked is (status == 200)
    if status == 401:
        assert slug(answer) == "sign-in-again"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_order_names_the_time_of_the_crl_with_its_revoked_certificate(world: World, client: FlaskClient) -> None:
    renewal = world.issued(["www.example.hk"])
    url = f"/issuance/v1/orders/{renewal.items[0].item_id}/revocation"
    assert client.post(url, json={"reason": "superseded"}, headers=world.headers(renewal)).status_code == 200
    assert world.client_orders(renewal)[0]["certificate"]["listed_at"] is None
    world.now += timedelta(minutes=1)
    work.publish_next_crl(world.pool, world.issuer, clock=world.clock)
    assert world.client_orders(renewal)[0]["certificate"]["listed_at"] == world.now.isoformat()

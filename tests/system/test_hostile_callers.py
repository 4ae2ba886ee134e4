"""People who are not who they say, and papers that are good for something else."""

import base64
import hmac
import json
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.gateway.rules import FORGEABLE_HEADERS
from deploy.local import stack
from devtools.payment_sandbox.webhooks import signatures
from devtools.scenario.ar import TICKET
from devtools.scenario.gateway_client import API_HOST, SIGN_IN_HOST, plain_http, wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.web.https_client import APIProblem
from tests.support.builders import signing_key
from tests.system.door import JSON, Door, Header
from tests.system.readings import rows

Begin = Callable[..., Journey]
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def tokens(door: Door) -> dict[str, str]:
    """Access tokens of honest people: a colleague of the victim, and one of another organisation."""
    people = {"chan": "chan-mei-ling", "wong": "wong-ka-ho", "lee": "lee-siu-fong"}
    return {name: door.sign_in(person).json["access_token"] for name, person in people.items()}


@pytest.fixture
def unpaid(journey: Begin, spare: Iterator[str], door: Door) -> Journey:
    """A renewal that was submitted and not paid."""
    made = journey(next(spare))
    made.ar.sign_in()
    made.renewal = made.ar.draft(made.srns)
    made.ar.submit(made.id, made.ar.sign(made.id))
    wait_for("the payment", lambda: door.get(f"/payment/v1/payments/{made.id}", made.ar.token).status == 200 or None)
    return made


def authorisation(door: Door, renewal_id: str, person: str = "chan-mei-ling") -> str:
    """Return identity's checkout authorisation for this person."""
    body = json.dumps({"renewal_id": renewal_id}).encode()
    path = "/identity/v1/checkout-authorisations"
    reply = door.ask("POST", path, headers=[JSON], body=body, host=SIGN_IN_HOST, person=person)
    return str(reply.json["authorisation"])


SAMPLES = {
    "ho-chi-wai-revoked": (403, "certificate-refused", "certificate-revoked"),
    "wong-ka-ho-expired": (403, "certificate-refused", "certificate-expired"),
    "chan-mei-ling-personal": (403, "certificate-refused", "certificate-personal"),
    "lam-yuk-lan-not-enrolled": (403, "not-enrolled", None),
}


@pytest.mark.parametrize("person", SAMPLES)
def test_refused_e_cert_gets_its_reason_only(door: Door, person: str) -> None:
    status, slug, reason = SAMPLES[person]
    reply = door.sign_in(person)
    assert (reply.refusal, reply.json.get("reason")) == ((status, slug), reason)
    body = json.dumps({"renewal_id": NOBODY}).encode()
    path = "/identity/v1/checkout-authorisations"
    assert door.ask("POST", path, headers=[JSON], body=body, host=SIGN_IN_HOST, person=person).slug == slug


def test_encipherment_key_fails_the_handshake(door: Door) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        door.sign_in("chan-mei-ling-encipherment")


def test_mutual_recognition_e_cert_signs_in_its_enrolled_ar(door: Door) -> None:
    assert claims(door.sign_in("lee-siu-fong-mutual-recognition").json["access_token"])["sub"] == "lee-siu-fong"


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a token, unverified."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def forged_headers(system: Target) -> list[Header]:
    """Return every way in which some gateway says who the client is, saying that it is the victim."""
    pem = (system.installation.pki.people / "chan-mei-ling.pem").read_text()
    pem = pem[: pem.index("-----END") + 25] + "\n"
    xfcc = f'Cert="{quote(pem, safe="")}"'
    rfc9440 = ":" + "".join(pem.splitlines()[1:-1]) + ":"
    names = [*FORGEABLE_HEADERS, "X-SSL-Client-Cert", "SSL_CLIENT_CERT", "X-SSL-Client-Verify", "X-Auth-Request-User"]
    return [
        *[(name, value) for name in ("X-Forwarded-Client-Cert", "x-FORWARDED-client-CERT") for value in (xfcc, xfcc)],
        *[("X_Forwarded_Client_Cert", xfcc), ("X-Forwarded_Client-Cert", xfcc), ("Client_Cert", rfc9440)],
        *[(name, rfc9440) for name in names],
        *[("X-Client-Verify", "SUCCESS"), ("X-Forwarded-User", "chan-mei-ling"), ("X-Forwarded-Host", SIGN_IN_HOST)],
        *[("X-Original-URL", "/identity/v1/tokens"), ("X-HTTP-Method-Override", "POST"), ("SCRIPT_NAME", "/identity")],
        *[("X-Envoy-Original-Path", "/identity/v1/tokens"), ("Forwarded", f"host={SIGN_IN_HOST}")],
    ]


def some(headers: list[Header]) -> list[Header]:
    """Return as many headers as fit into one request: duplicates and other spellings, and all that are short."""
    return [*headers[:7], *(header for header in headers if len(header[1]) < 100)]


def test_forged_headers_do_not_sign_in(door: Door, system: Target) -> None:
    for header in forged_headers(system):
        assert door.sign_in(None, header).refusal == (403, "client-certificate-missing"), header
        assert door.ask("GET", "/identity/v1/me", headers=[header]).status == 401, header
    for path in ("/identity/v1/tokens", "/identity/v1/checkout-authorisations", "/identity//v1/./tokens"):
        headers = some(forged_headers(system))
        assert door.ask("POST", path, headers=headers, host=API_HOST).refusal == (404, "not-found")


def test_forged_headers_beside_a_real_e_cert_change_nothing(door: Door, system: Target) -> None:
    headers = some(forged_headers(system))
    assert claims(door.sign_in("lee-siu-fong", *headers).json["access_token"])["sub"] == "lee-siu-fong"
    assert door.sign_in("ho-chi-wai-revoked", *headers).json["reason"] == "certificate-revoked"
    hop = ("Connection", "X-Forwarded-Client-Cert, close")
    assert door.sign_in("lee-siu-fong", hop, *headers).status in (200, 403)
    assert door.sign_in(None, hop, *headers).refusal == (403, "client-certificate-missing")


def test_two_identity_headers_at_identitys_own_socket_are_refused(door: Door, system: Target) -> None:
    headers = [header for header in forged_headers(system) if header[0] == "X-Forwarded-Client-Cert"]
    reply = door.straight("identity", "POST", "/identity/v1/tokens", headers)
    assert reply.refusal == (400, "client-certificate-malformed")


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _signed_with_the_public_key(good: str, key: SigningKey) -> str:
    """Return what a verifier accepts that lets the token choose the algorithm."""
    pem = key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_b64({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.kid})}.{good.split('.')[1]}"
    return f"{signed}.{base64.urlsafe_b64encode(hmac.digest(pem, signed.encode(), 'sha256')).rstrip(b'=').decode()}"


def bad_tokens(good: str, system: Target, others: list[str]) -> dict[str, str]:
    """Return everything that looks like an access token and is none."""
    signing = system.installation.pki.signing
    key = SigningKey.load(signing / "identity.key")
    header, payload, signature = good.split(".")
    said = {name: value for name, value in claims(good).items() if name not in ("iat", "exp", "iss", "aud")}
    past = datetime.now(UTC) - timedelta(hours=1)
    future = datetime.now(UTC) + timedelta(hours=1)
    now = datetime.now(UTC)
    stranger = SigningKey(key=signing_key("stranger").key, kid=key.kid)
    unsigned = {"alg": "none", "typ": "at+jwt", "kid": key.kid}
    return {
        "expired": sign(said, kind=TokenKind.ACCESS, key=key, now=past, issuer="identity"),
        "of tomorrow": sign(said, kind=TokenKind.ACCESS, key=key, now=future, issuer="identity"),
        "of a stranger under our name": sign(said, kind=TokenKind.ACCESS, key=stranger, now=now, issuer="identity"),
        "of a stranger": sign(said, kind=TokenKind.ACCESS, key=signing_key("x"), now=now, issuer="identity"),
        "of payment": sign(
            said, kind=TokenKind.ACCESS, key=SigningKey.load(signing / "payment.key"), now=now, issuer="identity"
        ),
        "issued by another": sign(said, kind=TokenKind.ACCESS, key=key, now=now, issuer="payment"),
        "of another role": sign(said | {"role": "admin"}, kind=TokenKind.ACCESS, key=key, now=now, issuer="identity"),
        "without a role": sign({"sub": "x"}, kind=TokenKind.ACCESS, key=key, now=now, issuer="identity"),
        "unsigned": f"{_b64(unsigned)}.{payload}.",
        "unsigned with a signature": f"{_b64(unsigned)}.{payload}.{signature}",
        "signed with the public key": _signed_with_the_public_key(good, key),
        "of another payload": f"{header}.{_b64(claims(good) | {'sub': 'lee-siu-fong'})}.{signature}",
        "without signature": f"{header}.{payload}.",
        "cut short": good[:-8],
        "twice": f"{good}, Bearer {good}",
        "nothing": "",
        "noise": "\xff\xfe.\xe9.x",
        "dots": "." * 5_000,
        "deep": ".".join([base64.urlsafe_b64encode(b"[" * 3_000).decode(), payload, signature]),
        "a list": ".".join([_b64([]), payload, signature]),
        **{f"another kind {number}": other for number, other in enumerate(others)},
    }


def test_only_an_access_token_of_identity_is_accepted(
    door: Door, system: Target, victim: Journey, tokens: dict[str, str], unpaid: Journey
) -> None:
    [(attestation, receipt)] = rows(
        system, "application", "SELECT attestation, receipt FROM renewals WHERE id = %s", victim.id
    )
    others = [authorisation(door, unpaid.id), str(attestation), str(receipt)]
    paths = ("/identity/v1/me", "/application/v1/renewals", f"/payment/v1/payments/{victim.id}/receipt")
    for what, token in bad_tokens(tokens["chan"], system, others).items():
        for path in (*paths, f"/issuance/v1/renewals/{victim.id}/orders"):
            assert door.get(path, token).refusal == (401, "token-refused"), (what, path)
        assert door.post("/application/v1/renewals", {}, token).status == 401, what
    for other in ("Basic " + tokens["chan"], tokens["chan"], "Bearer", f'Bearer "{tokens["chan"]}"'):
        assert door.ask("GET", "/identity/v1/me", headers=[("Authorization", other)]).status == 401, other


def test_data_of_another_subscriber_is_404(door: Door, victim: Journey, tokens: dict[str, str]) -> None:
    order = victim.orders[0]
    csr = {"reference": order.reference, "pins": {order.server_names[0]: victim.letters[0].pin}, "csr": "x"}
    for token in (tokens["lee"], door.sign_in("lee-siu-fong-mutual-recognition").json["access_token"]):
        for path, slug in (
            (f"/application/v1/renewals/{victim.id}", "renewal-not-found"),
            (f"/application/v1/renewals/{victim.id}/document", "renewal-not-found"),
            (f"/payment/v1/payments/{victim.id}", "payment-not-ready"),
            (f"/payment/v1/payments/{victim.id}/receipt", "payment-not-ready"),
            (f"/issuance/v1/renewals/{victim.id}/orders", "order-not-found"),
            (f"/issuance/v1/orders/{order.item_id}/certificate", "order-not-found"),
        ):
            reply = door.get(path, token)
            assert reply.refusal == (404, slug), path
            nobodys = door.get(path.replace(victim.id, NOBODY).replace(order.item_id, NOBODY), token)
            assert {**nobodys.json, "request_id": 0} == {**reply.json, "request_id": 0}, path
        for path, body, slug in (
            (f"/application/v1/renewals/{victim.id}/submission", {"attestation": "x"}, "renewal-not-found"),
            (f"/application/v1/renewals/{victim.id}/cancellation", {}, "renewal-not-found"),
            (f"/issuance/v1/orders/{order.item_id}/csr", csr, "order-not-found"),
            (f"/issuance/v1/orders/{order.item_id}/acceptance", {}, "order-not-found"),
            (f"/issuance/v1/orders/{order.item_id}/revocation", {}, "order-not-found"),
        ):
            assert door.post(path, body, token).refusal == (404, slug), path
        checkout = {"renewal_id": victim.id, "authorisation": authorisation(door, victim.id, "lee-siu-fong")}
        mutual = door.post("/payment/v1/checkouts", checkout, token)
        assert mutual.refusal == (404, "payment-not-ready")
        assert all(entry["id"] != victim.id for entry in door.get("/application/v1/renewals", token).json)
    assert victim.ar.renewal(victim.id)["state"] == "awaiting-csrs"


def test_another_ar_of_the_subscriber_may_read_but_not_act(
    door: Door, victim: Journey, unpaid: Journey, tokens: dict[str, str]
) -> None:
    order = victim.orders[0]
    pins = {order.server_names[0]: victim.letters[0].pin}
    csr = {"reference": order.reference, "pins": pins, "csr": victim.ar.make_csr(order)}
    assert door.get(f"/application/v1/renewals/{victim.id}", tokens["wong"]).status == 200
    reply = door.post(f"/issuance/v1/orders/{order.item_id}/csr", csr, tokens["wong"])
    assert reply.refusal == (404, "order-not-found")
    checkout = {"renewal_id": unpaid.id, "authorisation": authorisation(door, unpaid.id, "wong-ka-ho")}
    assert door.post("/payment/v1/checkouts", checkout, tokens["wong"]).refusal == (403, "not-the-representative")
    stolen = {"renewal_id": unpaid.id, "authorisation": authorisation(door, unpaid.id)}
    assert door.post("/payment/v1/checkouts", stolen, tokens["wong"]).refusal == (403, "not-the-representative")
    draft = {"items": [{"srn": unpaid.srns[0]}]}
    assert door.post("/application/v1/renewals", draft, tokens["wong"]).json["reason"] == "ar-changed"


def test_checkout_authorisation_is_for_one_renewal_one_person_and_one_request(
    door: Door, system: Target, victim: Journey, unpaid: Journey, tokens: dict[str, str]
) -> None:
    token = unpaid.ar.token
    key = SigningKey.load(system.installation.pki.signing / "identity.key")
    good = authorisation(door, unpaid.id)
    said = {name: value for name, value in claims(good).items() if name not in ("iat", "exp", "iss", "aud")}
    old = datetime.now(UTC) - timedelta(minutes=6)
    for what, given in {
        "an access token": token,
        "of another renewal": authorisation(door, victim.id),
        "of a colleague": authorisation(door, unpaid.id, "wong-ka-ho"),
        "expired": sign(said, kind=TokenKind.CHECKOUT, key=key, now=old, issuer="identity"),
        "unsigned": ".".join([_b64({"alg": "none", "typ": "checkout+jwt", "kid": key.kid}), good.split(".")[1], ""]),
        "noise": "x",
    }.items():
        body = {"renewal_id": unpaid.id, "authorisation": given}
        assert door.post("/payment/v1/checkouts", body, token).refusal == (403, "authorisation-refused"), what
    body = {"renewal_id": unpaid.id, "authorisation": good}
    first = door.post("/payment/v1/checkouts", body, token, key=f"first-{unpaid.id}")
    assert first.status == 200
    assert door.post("/payment/v1/checkouts", body, token, key=f"first-{unpaid.id}").body == first.body
    assert door.post("/payment/v1/checkouts", body, token, key=f"second-{unpaid.id}").refusal == (
        409,
        "authorisation-used",
    )
    body = {"renewal_id": victim.id, "authorisation": authorisation(door, victim.id)}
    assert door.post("/payment/v1/checkouts", body, token).refusal == (409, "already-paid")


def test_attestation_is_for_one_document_and_is_submitted_once(
    door: Door, system: Target, journey: Begin, victim: Journey, spare: Iterator[str]
) -> None:
    drafted = journey(next(spare))
    drafted.ar.sign_in()
    token = drafted.ar.token
    drafted.renewal = drafted.ar.draft(drafted.srns)
    twin = drafted.ar.draft(drafted.srns)
    path = f"/application/v1/renewals/{drafted.id}/submission"
    [(victims,)] = rows(system, "application", "SELECT attestation FROM renewals WHERE id = %s", victim.id)
    of_twin = drafted.ar.sign(twin["id"])
    header, payload, signature = of_twin.split(".")
    mixed = claims(of_twin) | {"renewal_id": drafted.id, "document_sha256": drafted.renewal["document_sha256"]}
    for what, given in {
        "of another's renewal": str(victims),
        "of the same AR's other draft": of_twin,
        "an access token": token,
        "with other claims": ".".join([header, _b64(mixed), signature]),
        "unsigned": ".".join([_b64({"alg": "none", "typ": "attestation+jwt"}), _b64(mixed), ""]),
        "noise": "x" * 19_000,
    }.items():
        assert door.post(path, {"attestation": given}, token).refusal == (409, "wrong-attestation"), what
        assert drafted.ar.renewal(drafted.id)["state"] == "draft", what
    assert payload
    good = drafted.ar.sign(drafted.id)
    answers = [door.post(path, {"attestation": good}, token) for _ in range(2)]
    assert [each.status for each in answers] == [200, 200], "an answer that was lost is given again"
    assert [step["event"] for step in answers[1].json["timeline"]].count("submitted") == 1
    announced = "SELECT count(*) FROM outbox WHERE key = %s AND type LIKE '%%renewal-submitted%%'"
    assert rows(system, "application", announced, drafted.id) == [(1,)]
    twins = f"/application/v1/renewals/{twin['id']}/submission"
    assert door.post(twins, {"attestation": good}, token).refusal == (409, "wrong-attestation")
    assert door.post(twins, {"attestation": of_twin}, token).json["reason"] == "being-renewed"


def test_signature_is_not_attested_for_another_document_or_another_person(
    door: Door, journey: Begin, spare: Iterator[str], tokens: dict[str, str]
) -> None:
    drafted = journey(next(spare))
    drafted.ar.sign_in()
    drafted.renewal = drafted.ar.draft(drafted.srns)
    answer = drafted.ar.get(f"/application/v1/renewals/{drafted.id}/document")
    document, ticket = answer.body, answer.headers[TICKET]
    signature = drafted.ar.sign_bytes(document)
    cheaper = document.replace(b'"amount_minor":', b'"amount_minor":1')

    def ask(token: str, renewal_id: str, content: bytes, cms: bytes) -> tuple[int, str, Any]:
        encoded = {"document": base64.b64encode(content).decode(), "signature": base64.b64encode(cms).decode()}
        reply = door.post("/identity/v1/attestations", {"renewal_id": renewal_id, **encoded}, token, (TICKET, ticket))
        return *reply.refusal, reply.json.get("reason")

    chan = drafted.ar.token
    resigned = drafted.ar.sign_bytes(cheaper)
    assert ask(chan, drafted.id, cheaper, resigned) == (422, "ticket-refused", "ticket-of-another-document")
    assert ask(chan, drafted.id, document, resigned) == (422, "signature-refused", "signature-of-another-document")
    assert ask(chan, drafted.id, document, signature + b"\0") == (422, "signature-refused", "signature-not-der")
    assert ask(chan, drafted.id, document, b"\x30\x80\0\0") == (422, "signature-refused", "signature-not-der")
    assert ask(chan, NOBODY, document, signature) == (422, "ticket-refused", "ticket-of-another-renewal")
    for stranger in (tokens["wong"], tokens["lee"]):
        refused = ask(stranger, drafted.id, document, signature)
        assert refused == (422, "ticket-refused", "ticket-of-another-representative")
    assert drafted.ar.sign(drafted.id), "none of this has used up the nonce"


def test_webhook_content_is_never_trusted(door: Door, system: Target, unpaid: Journey) -> None:
    unpaid_checkout = {"renewal_id": unpaid.id, "authorisation": authorisation(door, unpaid.id)}
    assert door.post("/payment/v1/checkouts", unpaid_checkout, unpaid.ar.token).status == 200
    query = "SELECT c.id FROM checkouts AS c JOIN payments AS p ON p.id = c.payment_id WHERE p.renewal_id = %s"
    [(checkout,)] = rows(system, "payment", query, unpaid.id)
    body = json.dumps({"type": "checkout.captured", "data": {"reference": str(checkout)}}).encode()
    secret = stack.sandbox_environment(system.installation)["SANDBOX_WEBHOOK_SECRETS"]
    stamp, old = str(int(time.time())), str(int(time.time()) - 600)
    stranger = "whsec_" + base64.b64encode(b"x" * 32).decode()

    def send(stamp: str, signature: str, content: bytes = body, name: str = "msg_1") -> tuple[int, str]:
        named = [("webhook-id", name), ("webhook-timestamp", stamp), ("webhook-signature", signature), JSON]
        reply = door.ask("POST", "/payment/v1/provider-webhooks", headers=named, body=content)
        return (reply.status, "") if reply.status < 400 else reply.refusal

    good = signatures([secret], "msg_1", stamp, body)
    refused = (400, "webhook-refused")
    assert send(stamp, "") == refused
    assert send(stamp, "v1,") == refused
    assert send(stamp, signatures([stranger], "msg_1", stamp, body)) == refused
    assert send(stamp, good, body + b" ") == refused
    assert send(stamp, good, name="msg_2") == refused
    assert send(old, signatures([secret], "msg_1", old, body)) == refused
    assert send("9" * 2_000, good) == refused
    assert send("9" * 5_000, good) == (431, "request-header-fields-too-large")
    assert send(stamp, "v1,\xff" * 50) == refused
    assert send(stamp, good) == (204, "")
    assert send(stamp, good) == (204, "")
    time.sleep(1)  # the provider is asked meanwhile, and knows of no money
    assert door.get(f"/payment/v1/payments/{unpaid.id}", unpaid.ar.token).json["state"] == "open"
    assert door.get(f"/payment/v1/payments/{unpaid.id}/receipt", unpaid.ar.token).refusal == (404, "no-receipt-yet")
    assert unpaid.ar.renewal(unpaid.id)["state"] == "awaiting-payment"


def test_checkout_page_redirects_to_the_merchant_only(door: Door, unpaid: Journey) -> None:
    body = {"renewal_id": unpaid.id, "authorisation": authorisation(door, unpaid.id)}
    url = door.post("/payment/v1/checkouts", body, unpaid.ar.token).json["checkout_url"]
    port = door.installation.ports
    elsewhere = "https://evil.example/"
    query = f"{url}?return_url={elsewhere}&next={elsewhere}"
    back = plain_http(query, "POST", decision="cancel", return_url=elsewhere, next=elsewhere)
    portal = stack.portal_url(door.installation)
    assert back.headers["Location"] == f"{portal}/renewals/{unpaid.id}"
    assert b"evil" not in plain_http(query).body
    for path in ("/checkout/x", "/checkout/%00", "/checkout/..%2fadmin/effects", "/admin/effects", "/v1/account"):
        with pytest.raises(APIProblem) as refused:
            plain_http(f"http://127.0.0.1:{port.sandbox}{path}")
        assert refused.value.status in (401, 404), path

"""Sign-in by client certificate: who is accepted, and the reasons of refusals."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ObjectIdentifier
from flask.testing import FlaskClient

from services.identity import enrolment
from services.identity.refusals import EnrolmentRefused
from shared.db import Pool
from shared.pki.certificates import sha256
from shared.security.tokens import TokenKind, verify
from shared.tx import transaction
from shared.vocabulary import ARId
from shared.web.auth import caller_of
from tests.integration.services.identity.conftest import (
    CHAN,
    EVIDENCE,
    KEYS,
    LEE,
    WONG,
    Clock,
    bearer,
    count,
    e_cert,
    people,
    sign_in,
    take_crls,
    xfcc,
    year_0,
)
from tests.support.problems import full_problem
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import CRL, NOW, ORGANISATIONAL, Holder, make_ca, make_crl, world

pytestmark = pytest.mark.usefixtures("enrolled")


def register(pool: Pool, clock: Clock, holder: Holder, ar_id: str = "chan") -> None:
    """Register a further e-Cert for an AR."""
    content = people()
    for subscriber in content["subscribers"]:
        for ar in subscriber["authorised_representatives"]:
            if ar["id"] == ar_id:
                ar["certificates"].append(holder.pem)
    enrolment.enrol(pool, content, "test", clock=clock)


@pytest.mark.usefixtures("current_crls")
def test_enrolled_ar_signs_in(http: FlaskClient, pool: Pool) -> None:
    answer = sign_in(http, CHAN)

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 900
    caller = caller_of(f"Bearer {answer.json['access_token']}", keys=KEYS, now=NOW)
    assert (caller.ar_id, caller.subscriber_id) == ("chan", "example")
    assert caller.certificate_sha256 == sha256(CHAN.certificate)
    assert caller.organisation_verified_at == caller.authority_verified_at == EVIDENCE.verified_at
    assert answer.headers["Cache-Control"] == "no-store"
    with pool.connection() as conn:
        actions = conn.execute("SELECT action FROM audit_log WHERE actor = 'chan'").fetchall()
    assert actions == [("signed-in",)]


@pytest.mark.usefixtures("current_crls")
def test_me_shows_the_registered_record_of_the_caller(http: FlaskClient) -> None:
    answer = http.get("/identity/v1/me", headers=bearer(http, LEE))

    assert answer.json is not None
    assert answer.json["subscriber"]["name"] == "Other Company Limited"
    assert answer.json["authorised_representative"]["email"] == "lee@example.hk"
    assert answer.json["certificate_sha256"] == sha256(LEE.certificate)


def test_jwks_has_the_public_keys_only(http: FlaskClient) -> None:
    answer = http.get("/identity/v1/jwks")

    assert answer.json is not None
    assert [set(key) for key in answer.json["keys"]] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}]


def test_request_without_a_token_is_401(http: FlaskClient) -> None:
    assert full_problem(http.get("/identity/v1/me"))[:2] == (401, "token-refused")
    for path in ("/identity/v1/tokens", "/identity/v1/checkout-authorisations"):
        answer = http.post(path, json={"renewal_id": _RENEWAL})
        assert full_problem(answer)[:2] == (403, "client-certificate-missing"), path


_RENEWAL = "0b0d1a7e-8a5e-4f0e-9a43-0d8a5a3f2f11"
BAD: dict[str, tuple[Callable[[], Holder], str]] = {
    "expired": (
        lambda: e_cert("CHAN Tai Man", not_after=NOW - timedelta(seconds=1)),
        "certificate-expired",
    ),
    "not yet valid": (
        lambda: e_cert("CHAN Tai Man", not_before=NOW + timedelta(seconds=1)),
        "certificate-not-yet-valid",
    ),
    "personal": (
        lambda: builders.issue(
            world().sub,
            builders.Leaf(
                subject=builders.name("CHAN Tai Man", "Hongkong Post e-Cert (Personal)"), policies=(builders.PERSONAL,)
            ),
        ),
        "certificate-personal",
    ),
    "encipherment": (
        lambda: builders.issue(
            world().sub,
            builders.Leaf(
                subject=builders.name("Accounts", "Example Trading Limited", "Hongkong Post e-Cert (Encipherment)"),
                policies=(builders.ENCIPHERMENT,),
                uses=("key_encipherment",),
            ),
        ),
        "certificate-encipherment",
    ),
    "self-made CA": (lambda: e_cert("CHAN Tai Man", by=make_ca("Stranger")), "certificate-untrusted"),
    "weak key": (lambda: e_cert("CHAN Tai Man", key=builders.rsa_key("weak", 1024)), "certificate-weak-key"),
}


@pytest.mark.parametrize(("make", "expected"), BAD.values(), ids=BAD.keys())
@pytest.mark.usefixtures("current_crls")
def test_bad_e_cert_is_refused_even_when_it_is_registered(
    http: FlaskClient, pool: Pool, clock: Clock, make: Callable[[], Holder], expected: str
) -> None:
    holder = make()
    register(pool, clock, holder)

    assert full_problem(sign_in(http, holder)) == (403, "certificate-refused", expected)
    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT subject, details ->> 'reason' FROM audit_log WHERE action = 'sign-in-refused'"
        ).fetchall()
    assert rows == [(sha256(holder.certificate), expected)]


@pytest.mark.parametrize(
    ("why", "expected"),
    [(None, "certificate-revoked"), (x509.ReasonFlags.certificate_hold, "certificate-suspended")],
)
def test_revoked_e_cert_is_refused(
    http: FlaskClient, pool: Pool, clock: Clock, why: x509.ReasonFlags | None, expected: str
) -> None:
    listed = make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,), reason=why))
    take_crls(pool, clock, make_crl(world().root), listed)

    assert full_problem(sign_in(http, CHAN)) == (403, "certificate-refused", expected)
    assert sign_in(http, WONG).status_code == 200


@pytest.mark.usefixtures("current_crls")
def test_unregistered_e_cert_is_refused(http: FlaskClient) -> None:
    unknown = e_cert("CHAN Tai Man")

    assert full_problem(sign_in(http, unknown))[:2] == (403, "not-enrolled")


@pytest.mark.parametrize(
    "changes", [{"organisation": "Another Limited"}, {"brn": "11112222"}], ids=["other name", "other number"]
)
@pytest.mark.usefixtures("current_crls")
def test_an_e_cert_of_another_organisation_is_refused_even_when_it_is_registered(
    http: FlaskClient, pool: Pool, clock: Clock, changes: dict[str, Any]
) -> None:
    other = e_cert("CHAN Tai Man", **changes)
    register(pool, clock, other)

    assert full_problem(sign_in(http, other))[:2] == (403, "organisation-mismatch")


@pytest.mark.usefixtures("current_crls")
def test_mutual_recognition_e_cert_of_the_sibling_ca_signs_in(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    policies = (ORGANISATIONAL, ObjectIdentifier("2.16.344.8.2.2008.810.2.2015.1.1"))
    recognised = e_cert("CHAN Tai Man", by=world().sibling, policies=policies)
    without_status = e_cert("CHAN Tai Man", by=world().sibling)
    register(pool, clock, recognised)

    assert sign_in(http, recognised).status_code == 200
    expected = (403, "certificate-refused", "certificate-not-mutual-recognition")
    assert full_problem(sign_in(http, without_status)) == expected


MISSING: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "none": lambda: (),
    "the sub-CA's": lambda: (make_crl(world().root), make_crl(world().sibling)),
    "the root's": lambda: (make_crl(world().sub), make_crl(world().sibling)),
}


@pytest.mark.parametrize("ders", MISSING.values(), ids=MISSING.keys())
def test_missing_usable_crl_is_503(
    http: FlaskClient, pool: Pool, clock: Clock, ders: Callable[[], tuple[bytes, ...]]
) -> None:
    take_crls(pool, clock, *ders())

    answer = sign_in(http, CHAN)

    assert full_problem(answer)[:2] == (503, "revocation-unknown")
    assert answer.headers["Retry-After"] == "60"


@pytest.mark.usefixtures("current_crls")
def test_expired_crl_refuses_every_sign_in(http: FlaskClient, clock: Clock) -> None:
    assert sign_in(http, CHAN).status_code == 200

    clock.now = NOW + timedelta(hours=23)

    assert full_problem(sign_in(http, CHAN))[:2] == (503, "revocation-unknown")


@pytest.mark.usefixtures("current_crls")
def test_ar_whose_office_ended_is_refused_at_once(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    token = bearer(http, CHAN)
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left the company", "operator")

    assert full_problem(sign_in(http, CHAN))[:2] == (403, "not-enrolled")
    assert full_problem(http.get("/identity/v1/me", headers=token))[:2] == (403, "office-ended")
    assert sign_in(http, WONG).status_code == 200


def _cert(holder: Holder) -> str:
    return f'Cert="{quote(holder.pem, safe="")}"'


def _hash(holder: Holder) -> str:
    return f"Hash={holder.certificate.fingerprint(hashes.SHA256()).hex()}"


FORGED = {
    "two elements": f"{_cert(CHAN)},{_cert(WONG)}",
    "one element before the gateway's": f"Hash={'0' * 64},{_cert(CHAN)}",
    "two certificates in one element": f"{_cert(CHAN)};{_cert(WONG)}",
    "another hash": f"{_hash(WONG)};{_cert(CHAN)}",
    "no quotes": _cert(CHAN).replace('"', ""),
    "no certificate": _hash(CHAN),
    "a chain": f'{_cert(CHAN)};Chain="{quote(CHAN.pem, safe="")}"',
    "a subject": f'Subject="CN=CHAN Tai Man";{_cert(CHAN)}',
    "two blocks": f'Cert="{quote(CHAN.pem + WONG.pem, safe="")}"',
    "raw PEM": f'Cert="{CHAN.pem.replace(chr(10), " ")}"',
    "bad encoding": _cert(CHAN).replace("%0A", "%0"),
    "bad Base64": f'Cert="{quote(CHAN.pem.replace("MII", "!!!"), safe="")}"',
    "not a certificate": f'Cert="{quote("-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----", safe="")}"',
    "an empty certificate": 'Cert=""',
    "junk": "junk",
    "long": f'Cert="{"A" * 16_000}"',
}


@pytest.mark.usefixtures("current_crls")
def test_header_in_another_form_than_the_gateways_is_refused(http: FlaskClient) -> None:
    for what, header in FORGED.items():
        answer = http.post("/identity/v1/tokens", headers={"X-Forwarded-Client-Cert": header})
        assert full_problem(answer)[:2] == (400, "client-certificate-malformed"), what
    answer = http.post("/identity/v1/tokens", headers={"X-Forwarded-Client-Cert": f'Cert="{"A" * 20_000}"'})
    assert answer.status_code == 431


@pytest.mark.usefixtures("current_crls")
def test_two_certificate_headers_are_refused(http: FlaskClient) -> None:
    answer = http.post(
        "/identity/v1/tokens",
        headers=[("X-Forwarded-Client-Cert", _cert(CHAN)), ("X-Forwarded-Client-Cert", _cert(WONG))],
    )

    assert full_problem(answer)[:2] == (400, "client-certificate-malformed")


@pytest.mark.usefixtures("current_crls")
def test_certificate_header_with_the_correct_hash_is_accepted(http: FlaskClient) -> None:
    header = f"{_hash(CHAN)};{_cert(CHAN)}"

    assert http.post("/identity/v1/tokens", headers={"X-Forwarded-Client-Cert": header}).status_code == 200


@pytest.mark.usefixtures("current_crls")
def test_other_identity_headers_are_ignored(http: FlaskClient) -> None:
    forged = {"Client-Cert": ":AAAA:", "X-SSL-Client-Verify": "SUCCESS", "X-Client-Cert": CHAN.pem.replace("\n", " ")}

    assert full_problem(http.post("/identity/v1/tokens", headers=forged))[:2] == (
        403,
        "client-certificate-missing",
    )


@pytest.mark.usefixtures("current_crls")
def test_checkout_authorisation_is_for_one_renewal_and_needs_the_e_cert(http: FlaskClient) -> None:
    answer = http.post("/identity/v1/checkout-authorisations", headers=xfcc(CHAN), json={"renewal_id": _RENEWAL})

    assert answer.json is not None
    claims = verify(answer.json["authorisation"], kind=TokenKind.CHECKOUT, keys=KEYS, now=NOW, issuer="identity")
    expected = {
        "sub": "chan",
        "subscriber_id": "example",
        "renewal_id": _RENEWAL,
        "certificate_sha256": sha256(CHAN.certificate),
    }
    assert expected.items() <= claims.items()
    assert claims["jti"]


def test_checkout_is_not_authorised_once_the_e_cert_is_revoked(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    take_crls(pool, clock, *world().crls())
    bearer(http, CHAN)
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,))))

    answer = http.post("/identity/v1/checkout-authorisations", headers=xfcc(CHAN), json={"renewal_id": _RENEWAL})

    assert full_problem(answer) == (403, "certificate-refused", "certificate-revoked")


@pytest.mark.usefixtures("current_crls")
def test_bad_checkout_body_is_a_problem(http: FlaskClient) -> None:
    bodies: tuple[object, ...] = (None, {}, [], {"renewal_id": "x"}, {"renewal_id": _RENEWAL, "more": 1})
    for body in bodies:
        answer = http.post("/identity/v1/checkout-authorisations", headers=xfcc(CHAN), json=body)
        assert full_problem(answer)[0] in {400, 422}, body


@pytest.mark.usefixtures("current_crls")
def test_signing_in_announces_nothing(http: FlaskClient, pool: Pool) -> None:
    sign_in(http, CHAN)

    assert count(pool, "outbox") == 0


def test_an_e_cert_of_the_year_0_is_not_registered(pool: Pool, clock: Clock) -> None:
    with pytest.raises(EnrolmentRefused, match="cannot be read"):
        register(pool, clock, year_0())

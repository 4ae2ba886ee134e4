"""Refusals in the audit log: each sign-in and each attestation that is refused has exactly one row."""

import base64
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.identity import enrolment, reading
from shared.db import Pool
from shared.pki.certificates import sha256
from shared.tx import transaction
from shared.validation.parsing_pool import TooCostly
from shared.vocabulary import ARId
from tests.integration.services.identity.conftest import (
    CHAN,
    LEE,
    WONG,
    Application,
    Clock,
    attest,
    bearer,
    e_cert,
    good,
    request_body,
    signed_by,
    take_crls,
    xfcc,
    year_0,
)
from tests.unit.services.identity.builders import CRL, NOW, make_crl, world
from tests.unit.services.identity.cms_builder import sign

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")
STRANGER = e_cert("NOBODY Known")


def refusals(pool: Pool) -> list[tuple[Any, ...]]:
    """Return the audit rows of refusals: who, what, whose or which, why."""
    with pool.connection() as conn:
        return conn.execute(
            """SELECT actor, action, subject, details ->> 'reason' FROM audit_log
               WHERE action LIKE '%refused' ORDER BY id"""
        ).fetchall()


def ask(http: FlaskClient) -> tuple[str, bytes]:
    made = http.post("/identity/v1/challenges", json={}).json
    assert made is not None
    return made["challenge_id"], made["document"].encode()


def answer(http: FlaskClient, challenge_id: str, signature: bytes) -> TestResponse:
    body = {"challenge_id": challenge_id, "signature": base64.b64encode(signature).decode()}
    return http.post("/identity/v1/challenge-tokens", json=body)


def test_five_refused_answers_to_one_challenge_make_one_audit_row(http: FlaskClient, pool: Pool) -> None:
    challenge_id, document = ask(http)
    signature = sign(STRANGER, document=document)

    assert [answer(http, challenge_id, signature).status_code for _ in range(5)] == [403] * 5

    assert refusals(pool) == [("unknown", "sign-in-refused", sha256(STRANGER.certificate), "not-enrolled")]


def test_answers_to_a_used_challenge_make_one_audit_row(http: FlaskClient, pool: Pool) -> None:
    challenge_id, document = ask(http)
    signature = sign(CHAN, document=document)

    assert [answer(http, challenge_id, signature).status_code for _ in range(5)] == [200, 409, 409, 409, 409]

    assert refusals(pool) == [("unknown", "sign-in-refused", challenge_id, "challenge-refused")]


def test_another_e_cert_or_reason_makes_another_audit_row(http: FlaskClient, pool: Pool) -> None:
    challenge_id, document = ask(http)
    for signature in (sign(STRANGER, document=document), sign(CHAN, document=b"another"), b"junk", b"more junk"):
        answer(http, challenge_id, signature)

    assert [(subject, why) for _, _, subject, why in refusals(pool)] == [
        (sha256(STRANGER.certificate), "not-enrolled"),
        (challenge_id, "signature-of-another-document"),
        (challenge_id, "signature-not-der"),
    ]


def test_unknown_challenge_makes_no_audit_row(http: FlaskClient, pool: Pool) -> None:
    assert answer(http, str(uuid.uuid4()), sign(CHAN)).status_code == 409
    assert refusals(pool) == []


def test_refusals_are_deleted_with_their_challenge(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    challenge_id, document = ask(http)
    answer(http, challenge_id, sign(STRANGER, document=document))
    clock.now = NOW + timedelta(days=10)
    ask(http)

    with pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM sign_in_refusals").fetchone() == (0,)
    assert len(refusals(pool)) == 1


SIGN_INS: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "not enrolled": (lambda: xfcc(STRANGER), "not-enrolled"),
    "expired": (lambda: xfcc(e_cert("CHAN Tai Man", not_after=NOW - timedelta(days=1))), "certificate-expired"),
    "unreadable": (lambda: xfcc(year_0()), "certificate-unreadable"),
}


@pytest.mark.parametrize(("headers", "reason"), SIGN_INS.values(), ids=SIGN_INS.keys())
@pytest.mark.parametrize("path", ["tokens", "checkout-authorisations"])
def test_refused_sign_in_by_certificate_makes_one_audit_row(
    http: FlaskClient, pool: Pool, headers: Callable[[], dict[str, str]], reason: str, path: str
) -> None:
    body = {"renewal_id": str(uuid.uuid4())}
    assert http.post(f"/identity/v1/{path}", headers=headers(), json=body).status_code == 403

    ((actor, action, _, why),) = refusals(pool)
    assert (actor, action, why) == (
        "unknown",
        {"tokens": "sign-in-refused", "checkout-authorisations": "checkout-refused"}[path],
        reason,
    )


def test_certificate_that_exceeds_the_parsing_limit_makes_one_audit_row(
    http: FlaskClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overrun(*_: object) -> None:
        raise TooCostly("the input takes too long to read")

    challenge_id, document = ask(http)
    monkeypatch.setattr(reading, "read_certificate", overrun)
    monkeypatch.setattr(reading, "verify", overrun)

    assert http.post("/identity/v1/tokens", headers=xfcc(CHAN)).status_code == 422
    assert answer(http, challenge_id, sign(CHAN, document=document)).status_code == 422

    assert [(subject, why) for _, _, subject, why in refusals(pool)] == [
        (sha256(CHAN.certificate), TooCostly.reason),
        (challenge_id, TooCostly.reason),
    ]


def _revoke(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,))))


def _end_office(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left", "test")


def _lose_lists(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    clock.now = NOW + timedelta(minutes=9)
    with pool.connection() as conn:
        conn.execute("DELETE FROM crl_heads")


def _nothing(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    """Restore the previous state."""


APPLICATION = Application()
Prepare = Callable[[FlaskClient, Pool, Clock], None]
ATTESTATIONS: dict[str, tuple[bytes, Application, Prepare, str]] = {
    "not DER": (b"junk", APPLICATION, _nothing, "signature-not-der"),
    "of another document": (signed_by(CHAN, Application()), APPLICATION, _nothing, "signature-of-another-document"),
    "stale": (
        signed_by(CHAN, APPLICATION, when=NOW - timedelta(hours=1)),
        APPLICATION,
        _nothing,
        "signature-signing-time",
    ),
    "another AR's": (signed_by(WONG, APPLICATION), APPLICATION, _nothing, "signed-with-another-certificate"),
    "another subscriber's": (signed_by(LEE, APPLICATION), APPLICATION, _nothing, "signed-with-another-certificate"),
    "of another purpose": (
        signed_by(CHAN, other := Application(purpose="hk.ecert.something-else.v1")),
        other,
        _nothing,
        "document-purpose",
    ),
    "revoked": (signed_by(CHAN, APPLICATION), APPLICATION, _revoke, "certificate-revoked"),
    "office ended": (signed_by(CHAN, APPLICATION), APPLICATION, _end_office, "not-enrolled"),
    "no list": (signed_by(CHAN, APPLICATION), APPLICATION, _lose_lists, "revocation-unknown"),
}


@pytest.mark.parametrize(("signature", "application", "prepare", "reason"), ATTESTATIONS.values(), ids=ATTESTATIONS)
def test_refused_attestation_makes_one_audit_row(
    http: FlaskClient,
    pool: Pool,
    clock: Clock,
    signature: bytes,
    application: Application,
    prepare: Prepare,
    reason: str,
) -> None:
    auth = bearer(http, CHAN)
    prepare(http, pool, clock)

    assert attest(http, CHAN, request_body(application, signature), auth=auth).status_code >= 400

    assert refusals(pool) == [("chan", "attestation-refused", application.renewal_id, reason)]


def test_replay_with_another_signature_makes_one_audit_row_and_the_same_signature_none(
    http: FlaskClient, pool: Pool, clock: Clock
) -> None:
    application, body = good()
    auth = bearer(http, CHAN)
    for _ in range(2):
        assert attest(http, CHAN, body, auth=auth).status_code == 201
    assert refusals(pool) == []

    again = request_body(application, signed_by(CHAN, application, when=NOW + timedelta(seconds=1)))

    assert attest(http, CHAN, again, auth=auth).status_code == 409
    assert refusals(pool) == [("chan", "attestation-refused", application.renewal_id, "nonce-spent")]


def test_request_refused_before_verification_makes_no_audit_row(http: FlaskClient, pool: Pool) -> None:
    _, body = good()
    assert http.post("/identity/v1/attestations", json=body).status_code == 401
    assert http.post("/identity/v1/attestations", json=body, headers=bearer(http, CHAN)).status_code == 400
    assert attest(http, CHAN, body | {"surprise": "1"}).status_code == 422
    assert refusals(pool) == []

"""Sign-in by a signature over a challenge: good once, for minutes, and never for anything else."""

import base64
import json
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db import Pool
from shared.pki.certificates import sha256
from shared.security.tokens import TokenKind, verify
from shared.web.auth import caller_of
from tests.integration.services.identity.conftest import (
    CHAN,
    KEYS,
    WONG,
    Application,
    Clock,
    attest,
    count,
    e_cert,
    request_body,
    signed_by,
    take_crls,
)
from tests.support.problems import full_problem
from tests.unit.services.identity.builders import CRL, NOW, Holder, make_crl, world
from tests.unit.services.identity.cms_builder import sign

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")
RENEWAL = "0b0d1a7e-8a5e-4f0e-9a43-0d8a5a3f2f11"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A challenge as it was given out."""

    id: str
    document: bytes

    @property
    def content(self) -> dict[str, Any]:
        return dict(json.loads(self.document))


def ask(http: FlaskClient, **body: str) -> Asked:
    answer = http.post("/identity/v1/challenges", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    return Asked(id=answer.json["challenge_id"], document=answer.json["document"].encode())


def answer(http: FlaskClient, challenge_id: str, signature: bytes) -> TestResponse:
    body = {"challenge_id": challenge_id, "signature": base64.b64encode(signature).decode()}
    return http.post("/identity/v1/challenge-tokens", json=body)


def sign_in(http: FlaskClient, holder: Holder = CHAN, when: datetime = NOW) -> TestResponse:
    asked = ask(http)
    return answer(http, asked.id, sign(holder, document=asked.document, when=when))


def test_signed_challenge_signs_in(http: FlaskClient, pool: Pool) -> None:
    tokens = sign_in(http)

    assert tokens.status_code == 200, tokens.text
    assert tokens.json is not None
    assert set(tokens.json) == {"access_token", "token_type", "expires_in"}
    caller = caller_of(f"Bearer {tokens.json['access_token']}", keys=KEYS, now=NOW)
    assert (caller.ar_id, caller.certificate_sha256) == ("chan", sha256(CHAN.certificate))
    with pool.connection() as conn:
        rows = conn.execute("SELECT action, details ->> 'method' FROM audit_log WHERE actor = 'chan'").fetchall()
    assert rows == [("signed-in", "signed-challenge")]


def test_challenge_text_names_purpose_site_and_expiry(http: FlaskClient) -> None:
    asked = ask(http)

    content = asked.content
    assert len(content.pop("nonce")) == 43
    assert content == {
        "purpose": "hk.ecert.sign-in.v1",
        "origin": "https://portal.example",
        "expires_at": (NOW + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert asked.document == json.dumps(asked.content, sort_keys=True, separators=(",", ":")).encode()
    assert ask(http).content["nonce"] != asked.content["nonce"]


def test_challenge_for_a_renewal_gives_a_checkout_authorisation(http: FlaskClient) -> None:
    asked = ask(http, renewal_id=RENEWAL)
    assert asked.content["renewal_id"] == RENEWAL

    tokens = answer(http, asked.id, sign(CHAN, document=asked.document)).json

    assert tokens is not None
    claims = verify(tokens["authorisation"], kind=TokenKind.CHECKOUT, keys=KEYS, now=NOW, issuer="identity")
    assert (claims["sub"], claims["renewal_id"]) == ("chan", RENEWAL)


def test_challenge_can_be_used_once(http: FlaskClient) -> None:
    asked = ask(http)
    signature = sign(CHAN, document=asked.document)
    assert answer(http, asked.id, signature).status_code == 200

    assert full_problem(answer(http, asked.id, signature))[:2] == (409, "challenge-refused")
    again = sign(CHAN, document=asked.document, when=NOW + timedelta(seconds=1))
    assert full_problem(answer(http, asked.id, again))[:2] == (409, "challenge-refused")


def test_concurrent_answers_to_one_challenge_get_one_token(http: FlaskClient, pool: Pool) -> None:
    asked = ask(http)
    signature = sign(CHAN, document=asked.document)
    statuses: list[int] = []

    def try_it() -> None:
        statuses.append(answer(http.application.test_client(), asked.id, signature).status_code)

    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [409] * 5


def test_challenge_expires_after_five_minutes(http: FlaskClient, clock: Clock) -> None:
    asked = ask(http)
    signature = sign(CHAN, document=asked.document)

    clock.now = NOW + timedelta(minutes=5)

    assert full_problem(answer(http, asked.id, signature))[:2] == (409, "challenge-refused")


def test_signature_over_another_challenge_is_refused(http: FlaskClient) -> None:
    one, other = ask(http), ask(http)

    refused = full_problem(answer(http, one.id, sign(CHAN, document=other.document)))

    assert refused == (422, "signature-refused", "signature-of-another-document")
    assert full_problem(answer(http, str(uuid.uuid4()), sign(CHAN, document=one.document)))[1] == "challenge-refused"


def test_application_s_signature_does_not_sign_in(http: FlaskClient) -> None:
    asked, application = ask(http), Application()

    refused = full_problem(answer(http, asked.id, signed_by(CHAN, application)))

    assert refused == (422, "signature-refused", "signature-of-another-document")


def test_challenge_s_signature_signs_no_application(http: FlaskClient) -> None:
    asked = ask(http, renewal_id=RENEWAL)
    body = {
        "renewal_id": RENEWAL,
        "document": base64.b64encode(asked.document).decode(),
        "signature": base64.b64encode(sign(CHAN, document=asked.document)).decode(),
    }
    token = sign_in(http).json
    assert token is not None

    refused = attest(http, CHAN, body, auth={"Authorization": f"Bearer {token['access_token']}"})

    assert full_problem(refused) == (422, "document-refused", "document-purpose")


def test_sign_in_by_signature_allows_an_attestation(http: FlaskClient) -> None:
    application = Application()
    token = sign_in(http).json
    assert token is not None
    auth = {"Authorization": f"Bearer {token['access_token']}"}

    attested = attest(http, CHAN, request_body(application, signed_by(CHAN, application)), auth=auth)

    assert attested.status_code == 201


def test_refused_sign_in_is_audited_and_another_e_cert_may_be_used(http: FlaskClient, pool: Pool) -> None:
    asked, unknown = ask(http), e_cert("CHAN Tai Man")

    assert full_problem(answer(http, asked.id, sign(unknown, document=asked.document)))[:2] == (
        403,
        "not-enrolled",
    )

    with pool.connection() as conn:
        rows = conn.execute("SELECT subject FROM audit_log WHERE action = 'sign-in-refused'").fetchall()
    assert rows == [(sha256(unknown.certificate),)]
    assert answer(http, asked.id, sign(WONG, document=asked.document)).status_code == 200


def test_revoked_e_cert_does_not_sign_in(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,))))

    assert full_problem(sign_in(http)) == (403, "certificate-refused", "certificate-revoked")


def test_signing_time_far_from_the_servers_is_refused(http: FlaskClient) -> None:
    refused = full_problem(sign_in(http, when=NOW - timedelta(minutes=11)))

    assert refused == (422, "signature-refused", "signature-signing-time")


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"challenge_id": "x"}, {"challenge_id": RENEWAL, "signature": "?"}, {"challenge_id": RENEWAL}],
)
def test_bad_body_is_a_problem(http: FlaskClient, body: object) -> None:
    assert full_problem(http.post("/identity/v1/challenge-tokens", json=body))[0] in {400, 422}


def test_bad_renewal_is_a_problem(http: FlaskClient) -> None:
    bodies: tuple[object, ...] = ({"renewal_id": "x"}, {"renewal_id": None}, {"more": 1}, [])
    for body in bodies:
        assert full_problem(http.post("/identity/v1/challenges", json=body))[0] in {400, 422}, body


def test_expired_challenges_are_deleted_when_new_ones_are_made(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    ask(http)
    clock.now = NOW + timedelta(hours=2)

    ask(http)

    assert count(pool, "sign_in_challenges") == 1

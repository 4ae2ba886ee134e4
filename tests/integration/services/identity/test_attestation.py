"""A signature is verified once and vouched for; nobody else's and nothing twice."""

import base64
import threading
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared.db import Pool
from shared.messaging.outbox import stored
from shared.pki import armour
from shared.pki.certificates import sha256
from shared.security.tokens import TokenKind, verify
from tests.integration.services.identity.conftest import (
    CHAN,
    EVIDENCE,
    KEYS,
    LEE,
    WONG,
    Application,
    Clock,
    attest,
    bearer,
    count,
    good,
    request_body,
    signed_by,
)
from tests.support.problems import full_problem
from tests.unit.services.identity.builders import NOW
from tests.unit.services.identity.spellings import spellings

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_signature_in_pem_is_decoded(http: FlaskClient, encoding: str) -> None:
    _, body = good()
    pem = armour.armoured(base64.b64decode(body["signature"]), "CMS").encode(encoding)
    answer = attest(http, CHAN, body | {"signature": base64.b64encode(pem).decode()})
    assert answer.status_code == 201, answer.text


def test_application_for_a_reissue_is_attested_as_one_for_a_renewal(http: FlaskClient) -> None:
    _, body = good(Application(purpose="hk.ecert.reissue-application.v1"))
    assert attest(http, CHAN, body).status_code == 201


def test_attestation_names_the_signer_from_the_registered_record(http: FlaskClient) -> None:
    application, body = good()

    answer = attest(http, CHAN, body)

    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    claims = verify(answer.json["attestation"], kind=TokenKind.ATTESTATION, keys=KEYS, now=NOW, issuer="identity")
    expected: dict[str, Any] = {
        "sub": "chan",
        "jti": answer.json["evidence_id"],
        "renewal_id": application.renewal_id,
        "document_sha256": answer.json["document_sha256"],
        "certificate_sha256": sha256(CHAN.certificate),
        "subscriber": {
            "id": "example",
            "name": "Example Trading Limited",
            "country": "HK",
            "state_or_province": "Hong Kong",
        },
        "ar": {
            "id": "chan",
            "name": "CHAN Tai Man",
            "email": "chan@example.hk",
            "address": ["1 Example Road", "Hong Kong"],
        },
        "organisation_verified_at": EVIDENCE.verified_at.isoformat(),
        "authority_verified_at": EVIDENCE.verified_at.isoformat(),
    }
    assert expected.items() <= claims.items()
    assert "exp" not in claims


def test_signature_is_announced_once(http: FlaskClient, pool: Pool) -> None:
    application, body = good()
    attest(http, CHAN, body)
    attest(http, CHAN, body)

    with pool.connection() as conn:
        events = stored(conn, application.renewal_id)

    assert [(event.type, event.sequence) for event in events] == [
        ("hk.ecert.identity.signature-verified.v1", 1),
        ("hk.ecert.identity.evidence-kept.v1", 1),
    ]


def test_repeated_request_gets_the_same_answer(http: FlaskClient, pool: Pool) -> None:
    _, body = good()
    first = attest(http, CHAN, body, key="the-same-key")

    assert attest(http, CHAN, body, key="the-same-key").data == first.data
    assert count(pool, "evidence") == 1


def test_same_signature_gets_the_same_attestation_under_another_key(http: FlaskClient, clock: Clock) -> None:
    _, body = good()
    first = attest(http, CHAN, body)
    clock.now = NOW + timedelta(hours=2)

    assert attest(http, CHAN, body).data == first.data


def test_idempotency_key_is_looked_up_before_the_single_use_check(http: FlaskClient) -> None:
    application, body = good()
    attest(http, CHAN, body, key="the-same-key")
    other = request_body(application, signed_by(CHAN, application, when=NOW + timedelta(seconds=1)))

    assert full_problem(attest(http, CHAN, other, key="the-same-key"))[:2] == (422, "idempotency-key-reused")


def test_concurrent_requests_with_one_signature_store_one_evidence(http: FlaskClient, pool: Pool) -> None:
    _, body = good()
    auth = bearer(http, CHAN)
    answers: list[bytes] = []

    def ask() -> None:
        client = http.application.test_client()
        answer = attest(client, CHAN, body, auth=auth)
        assert answer.status_code == 201, answer.text
        answers.append(answer.data)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert (count(pool, "evidence"), count(pool, "outbox")) == (1, 2)


def test_another_signature_over_the_same_application_is_refused(http: FlaskClient, pool: Pool) -> None:
    application, body = good()
    attest(http, CHAN, body)
    again = request_body(application, signed_by(CHAN, application, when=NOW + timedelta(seconds=1)))

    assert full_problem(attest(http, CHAN, again))[:2] == (409, "nonce-spent")
    assert count(pool, "evidence") == 1


def test_signature_in_another_encoding_is_the_same_signature(http: FlaskClient, pool: Pool) -> None:
    """Parts of a CMS that are not signed may be spelt in two ways: the nonce is spent all the same."""
    _, body = good()
    attest(http, CHAN, body)
    signature = base64.b64decode(body["signature"])
    for spelling in spellings(signature) - {signature}:
        again = body | {"signature": base64.b64encode(spelling).decode()}
        assert full_problem(attest(http, CHAN, again))[:2] == (409, "nonce-spent")

    assert count(pool, "evidence") == 1


@pytest.mark.parametrize("same", ["nonce", "renewal_id"])
def test_nonce_or_a_renewal_is_used_once(http: FlaskClient, same: str) -> None:
    application, body = good()
    attest(http, CHAN, body)
    _, other = good(replace(Application(), **{same: getattr(application, same)}))

    assert full_problem(attest(http, CHAN, other))[:2] == (409, "nonce-spent")


def test_signature_cannot_be_replayed_for_another_renewal(http: FlaskClient) -> None:
    _, body = good()
    attest(http, CHAN, body)
    other = body | {"renewal_id": str(uuid.uuid4())}

    assert full_problem(attest(http, CHAN, other))[:2] == (409, "nonce-spent")


def test_another_ar_cannot_use_up_a_renewal(http: FlaskClient) -> None:
    application, body = good()
    stranger = Application(ar_id="lee", subscriber_id="other", renewal_id=application.renewal_id)
    attest(http, LEE, request_body(stranger, signed_by(LEE, stranger)))

    assert attest(http, CHAN, body).status_code == 201


def test_attested_signature_is_not_shown_to_another_ar(http: FlaskClient) -> None:
    _, body = good()
    attest(http, CHAN, body)

    assert full_problem(attest(http, WONG, body))[:2] == (403, "signed-with-another-certificate")
    assert full_problem(attest(http, LEE, body))[:2] == (403, "signed-with-another-certificate")


def test_signature_by_an_e_cert_other_than_the_signed_in_one_is_refused(http: FlaskClient) -> None:
    _, body = good(holder=WONG)

    assert full_problem(attest(http, CHAN, body))[:2] == (403, "signed-with-another-certificate")

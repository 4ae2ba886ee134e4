"""Refused attestations: documents not the caller's, not fresh, badly signed or unreadable; nothing is stored."""

import base64
import json
import uuid
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from services.identity import enrolment
from shared.db import Pool
from shared.tx import transaction
from shared.vocabulary import ARId
from tests.integration.services.identity.conftest import (
    CHAN,
    Application,
    Clock,
    attest,
    bearer,
    count,
    good,
    request_body,
    signed_by,
    take_crls,
)
from tests.support.problems import full_problem
from tests.unit.services.identity.builders import CRL, NOW, make_crl, world
from tests.unit.services.identity.cms_builder import sign

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")


DOCUMENTS: dict[str, tuple[dict[str, str], str]] = {
    "another purpose": ({"purpose": "hk.ecert.something-else.v1"}, "document-purpose"),
    "another subscriber": ({"subscriber_id": "other"}, "document-of-another-subscriber"),
    "another representative": ({"ar_id": "wong"}, "document-of-another-representative"),
    "a short nonce": ({"nonce": "abc"}, "document-nonce"),
}


@pytest.mark.parametrize(("changes", "expected"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_document_that_is_not_the_callers_is_refused(
    http: FlaskClient, pool: Pool, changes: dict[str, str], expected: str
) -> None:
    _, body = good(Application(**changes))

    assert full_problem(attest(http, CHAN, body)) == (422, "document-refused", expected)
    assert count(pool, "evidence") == 0


def test_document_of_another_renewal_than_the_request_is_refused(http: FlaskClient) -> None:
    _, body = good()
    other = body | {"renewal_id": str(uuid.uuid4())}

    assert full_problem(attest(http, CHAN, other)) == (422, "document-refused", "document-of-another-renewal")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE subscribers SET country = 'UK'",
        "UPDATE subscribers SET state_or_province = NULL, locality = 'N/A'",
        "UPDATE authorised_representatives SET email = 'chan@例子.hk'",
        "UPDATE authorised_representatives SET name = 'CHAN ' || chr(65533)",
    ],
)
def test_record_that_issuance_would_refuse_is_not_attested(http: FlaskClient, pool: Pool, change: str) -> None:
    _, body = good()
    with pool.connection() as conn:
        conn.execute(change.encode())
    assert full_problem(attest(http, CHAN, body)) == (409, "record-unusable", None)
    assert count(pool, "evidence") == 0


RAW = {
    "not JSON": b"not JSON",
    "not an object": b"[]",
    "not UTF-8": b'{"purpose":"\xff"}',
    "a name twice": b'{"purpose":"a","purpose":"b"}',
    "not a number": b'{"purpose":NaN}',
    "too deep": b"[" * 100_000,
    "nothing in it": b"{}",
    "wrong types": b'{"purpose":"hk.ecert.renewal-application.v1","renewal_id":1}',
}


def test_signed_document_that_cannot_be_read_is_refused(http: FlaskClient) -> None:
    for what, document in RAW.items():
        body = {
            "renewal_id": str(uuid.uuid4()),
            "document": base64.b64encode(document).decode(),
            "signature": base64.b64encode(sign(CHAN, document=document)).decode(),
        }
        assert full_problem(attest(http, CHAN, body))[:2] == (422, "document-refused"), what


@pytest.mark.parametrize(
    "names",
    [{"subscriber_name": "爲食有限公司"}, {"subscriber_name": "Example  Trading Limited"}, {"ar_name": "Chan Tai Man"}],
)
def test_document_with_another_spelling_than_the_register_is_refused(
    http: FlaskClient, pool: Pool, names: dict[str, str]
) -> None:
    """Issuance would refuse the proof of it once it is paid for."""
    _, body = good(Application(**names))

    assert full_problem(attest(http, CHAN, body))[:2] == (409, "record-unusable")
    assert count(pool, "evidence") == 0


def test_bad_signature_is_refused_with_its_reason(http: FlaskClient) -> None:
    application = Application()
    body = request_body(application, signed_by(CHAN, application, without_attributes=True))

    assert full_problem(attest(http, CHAN, body)) == (
        422,
        "signature-refused",
        "signature-without-signed-attributes",
    )


def test_stale_signature_is_refused(http: FlaskClient, clock: Clock) -> None:
    _, body = good()
    clock.now = NOW + timedelta(minutes=11)

    assert full_problem(attest(http, CHAN, body)) == (422, "signature-refused", "signature-signing-time")


def test_e_cert_revoked_after_sign_in_is_refused(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    auth = bearer(http, CHAN)
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,))))
    _, body = good()

    assert full_problem(attest(http, CHAN, body, auth=auth)) == (
        403,
        "certificate-refused",
        "certificate-revoked",
    )


def test_ar_whose_office_ended_after_sign_in_is_refused(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    auth = bearer(http, CHAN)
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left", "operator")
    _, body = good()

    assert full_problem(attest(http, CHAN, body, auth=auth))[:2] == (403, "not-enrolled")


def test_missing_current_crl_is_503_and_uses_nothing_up(http: FlaskClient, clock: Clock) -> None:
    application = Application()
    clock.now = NOW + timedelta(hours=22, minutes=59)
    auth = bearer(http, CHAN)
    clock.now = NOW + timedelta(hours=23)
    body = request_body(application, signed_by(CHAN, application, when=clock.now))

    assert full_problem(attest(http, CHAN, body, auth=auth))[:2] == (503, "revocation-unknown")
    clock.now = NOW + timedelta(hours=22, minutes=59)
    assert attest(http, CHAN, body, auth=auth).status_code == 201


def test_invalid_access_token_is_refused(http: FlaskClient) -> None:
    _, body = good()
    for token in (None, "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer \x00"):
        headers = {"Idempotency-Key": uuid.uuid4().hex} | ({"Authorization": token} if token else {})
        answer = http.post("/identity/v1/attestations", headers=headers, json=body)
        assert full_problem(answer)[:2] == (401, "token-refused"), token


def test_expired_access_token_is_refused(http: FlaskClient, clock: Clock) -> None:
    auth = bearer(http, CHAN)
    _, body = good()
    clock.now = NOW + timedelta(minutes=15)

    assert full_problem(attest(http, CHAN, body, auth=auth))[:2] == (401, "token-refused")


def test_attestation_is_no_access_token(http: FlaskClient) -> None:
    _, body = good()
    answer = attest(http, CHAN, body)
    assert answer.json is not None

    auth = {"Authorization": f"Bearer {answer.json['attestation']}"}

    assert full_problem(http.get("/identity/v1/me", headers=auth))[:2] == (401, "token-refused")


def test_missing_idempotency_key_is_refused(http: FlaskClient) -> None:
    _, body = good()

    answer = http.post("/identity/v1/attestations", headers=bearer(http, CHAN), json=body)

    assert full_problem(answer)[:2] == (400, "idempotency-key-missing")


_BODY = good()[1]
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "application/json"),
    "no JSON": (b"{", "application/json"),
    "not UTF-8": (b'{"renewal_id":"\xff\xfe"}', "application/json"),
    "a list": (b"[]", "application/json"),
    "null": (b"null", "application/json"),
    "unknown field": (json.dumps(_BODY | {"more": 1}).encode(), "application/json"),
    "missing field": (json.dumps({"renewal_id": _BODY["renewal_id"]}).encode(), "application/json"),
    "wrong types": (json.dumps(dict.fromkeys(_BODY, 1)).encode(), "application/json"),
    "not Base64": (json.dumps(_BODY | {"signature": "!!"}).encode(), "application/json"),
    "Base64 with line breaks": (
        json.dumps(_BODY | {"signature": _BODY["signature"][:76] + "\n" + _BODY["signature"][76:]}).encode(),
        "application/json",
    ),
    "Base64 of another spelling": (json.dumps(_BODY | {"signature": "AB=="}).encode(), "application/json"),
    "empty signature": (json.dumps(_BODY | {"signature": ""}).encode(), "application/json"),
    "huge signature": (json.dumps(_BODY | {"signature": "A" * 100_000}).encode(), "application/json"),
    "one megabyte": (json.dumps(_BODY | {"document": "A" * 1_000_000}).encode(), "application/json"),
    "a form": (b"renewal_id=1", "application/x-www-form-urlencoded"),
    "a NUL": (json.dumps(_BODY | {"renewal_id": "\x00"}).encode(), "application/json"),
    "very deep": (b"[" * 60_000, "application/json"),
}


def test_bad_body_is_a_problem_and_never_a_500(http: FlaskClient) -> None:
    auth = bearer(http, CHAN)
    for what, (data, media_type) in BAD_BODIES.items():
        headers = {**auth, "Idempotency-Key": uuid.uuid4().hex}
        answer = http.post("/identity/v1/attestations", headers=headers, data=data, content_type=media_type)
        assert full_problem(answer)[0] in {400, 413, 415, 422}, what

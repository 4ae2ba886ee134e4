"""A signature is verified once, kept as evidence and vouched for; nobody else's and nothing twice."""

import base64
import json
import re
import subprocess
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from services.identity import crl_store, enrolment, evidence
from services.identity.certificates import sha256
from services.identity.domain import EvidenceNotFound
from shared.db import Pool
from shared.events.base import ARId
from shared.outbox import stored
from shared.tokens import TokenKind, verify
from shared.tx import transaction
from tests.integration.identity.conftest import (
    CHAN,
    KEYS,
    LEE,
    WONG,
    Application,
    Clock,
    attest,
    bearer,
    count,
    problem,
    request_body,
    signed_by,
    take_crls,
)
from tests.unit.identity.builders import CRL, NOW, Holder, make_crl, world
from tests.unit.identity.cms_builder import sign

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")


def good(application: Application | None = None, holder: Holder = CHAN) -> tuple[Application, dict[str, str]]:
    application = application or Application()
    return application, request_body(application, signed_by(holder, application))


def test_an_attestation_says_who_signed_what_from_our_own_records(http: FlaskClient) -> None:
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
    }
    assert expected.items() <= claims.items()
    assert "exp" not in claims


def test_the_signature_is_announced_once(http: FlaskClient, pool: Pool) -> None:
    application, body = good()
    attest(http, CHAN, body)
    attest(http, CHAN, body)

    with pool.connection() as conn:
        events = stored(conn, application.renewal_id)

    assert [(event.type, event.sequence) for event in events] == [("hk.ecert.identity.signature-verified.v1", 1)]


def test_a_lost_answer_can_be_asked_for_again(http: FlaskClient, pool: Pool) -> None:
    _, body = good()
    first = attest(http, CHAN, body, key="the-same-key")

    assert attest(http, CHAN, body, key="the-same-key").data == first.data
    assert count(pool, "evidence") == 1


def test_the_same_signature_gets_the_same_attestation_under_another_key(http: FlaskClient, clock: Clock) -> None:
    _, body = good()
    first = attest(http, CHAN, body)
    clock.now = NOW + timedelta(hours=2)

    assert attest(http, CHAN, body).data == first.data


def test_the_idempotency_key_is_looked_up_before_single_use_is_judged(http: FlaskClient) -> None:
    application, body = good()
    attest(http, CHAN, body, key="the-same-key")
    other = request_body(application, signed_by(CHAN, application, when=NOW + timedelta(seconds=1)))

    assert problem(attest(http, CHAN, other, key="the-same-key"))[:2] == (422, "idempotency-key-reused")


def test_many_at_once_with_one_signature_leave_one_evidence(http: FlaskClient, pool: Pool) -> None:
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
    assert (count(pool, "evidence"), count(pool, "outbox")) == (1, 1)


def test_another_signature_over_the_same_application_is_refused(http: FlaskClient, pool: Pool) -> None:
    application, body = good()
    attest(http, CHAN, body)
    again = request_body(application, signed_by(CHAN, application, when=NOW + timedelta(seconds=1)))

    assert problem(attest(http, CHAN, again))[:2] == (409, "nonce-spent")
    assert count(pool, "evidence") == 1


@pytest.mark.parametrize("same", ["nonce", "renewal_id"])
def test_a_nonce_or_a_renewal_is_used_once(http: FlaskClient, same: str) -> None:
    application, body = good()
    attest(http, CHAN, body)
    _, other = good(replace(Application(), **{same: getattr(application, same)}))

    assert problem(attest(http, CHAN, other))[:2] == (409, "nonce-spent")


def test_a_signature_cannot_be_replayed_for_another_renewal(http: FlaskClient) -> None:
    _, body = good()
    attest(http, CHAN, body)
    other = body | {"renewal_id": str(uuid.uuid4())}

    assert problem(attest(http, CHAN, other))[:2] == (409, "nonce-spent")


def test_nobody_can_spend_the_renewal_of_another(http: FlaskClient) -> None:
    application, body = good()
    stranger = Application(ar_id="lee", subscriber_id="other", renewal_id=application.renewal_id)
    attest(http, LEE, request_body(stranger, signed_by(LEE, stranger)))

    assert attest(http, CHAN, body).status_code == 201


def test_an_attested_signature_is_not_shown_to_another_ar(http: FlaskClient) -> None:
    _, body = good()
    attest(http, CHAN, body)

    assert problem(attest(http, WONG, body))[:2] == (403, "signed-with-another-certificate")
    assert problem(attest(http, LEE, body))[:2] == (403, "signed-with-another-certificate")


def test_a_signature_by_another_e_cert_than_the_one_signed_in_is_refused(http: FlaskClient) -> None:
    _, body = good(holder=WONG)

    assert problem(attest(http, CHAN, body))[:2] == (403, "signed-with-another-certificate")


DOCUMENTS: dict[str, tuple[dict[str, str], str]] = {
    "another purpose": ({"purpose": "hk.ecert.something-else.v1"}, "document-purpose"),
    "another subscriber": ({"subscriber_id": "other"}, "document-of-another-subscriber"),
    "another representative": ({"ar_id": "wong"}, "document-of-another-representative"),
    "a short nonce": ({"nonce": "abc"}, "document-nonce"),
}


@pytest.mark.parametrize(("changes", "expected"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_that_is_not_the_callers_is_refused(
    http: FlaskClient, pool: Pool, changes: dict[str, str], expected: str
) -> None:
    _, body = good(Application(**changes))

    assert problem(attest(http, CHAN, body)) == (422, "document-refused", expected)
    assert count(pool, "evidence") == 0


def test_a_document_of_another_renewal_than_the_request_is_refused(http: FlaskClient) -> None:
    _, body = good()
    other = body | {"renewal_id": str(uuid.uuid4())}

    assert problem(attest(http, CHAN, other)) == (422, "document-refused", "document-of-another-renewal")


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


def test_a_signed_document_that_cannot_be_read_is_refused(http: FlaskClient) -> None:
    for what, document in RAW.items():
        body = {
            "renewal_id": str(uuid.uuid4()),
            "document": base64.b64encode(document).decode(),
            "signature": base64.b64encode(sign(CHAN, document=document)).decode(),
        }
        assert problem(attest(http, CHAN, body))[:2] == (422, "document-refused"), what


def test_a_bad_signature_is_refused_with_its_reason(http: FlaskClient) -> None:
    application = Application()
    body = request_body(application, signed_by(CHAN, application, without_attributes=True))

    assert problem(attest(http, CHAN, body)) == (422, "signature-refused", "signature-without-signed-attributes")


def test_a_stale_signature_is_refused(http: FlaskClient, clock: Clock) -> None:
    _, body = good()
    clock.now = NOW + timedelta(minutes=11)

    assert problem(attest(http, CHAN, body)) == (422, "signature-refused", "signature-signing-time")


def test_an_e_cert_revoked_after_sign_in_signs_nothing(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    auth = bearer(http, CHAN)
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,))))
    _, body = good()

    assert problem(attest(http, CHAN, body, auth=auth)) == (403, "certificate-refused", "certificate-revoked")


def test_an_ar_whose_office_ended_after_sign_in_signs_nothing(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    auth = bearer(http, CHAN)
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(ARId("chan"), "left", "operator", tx)
    _, body = good()

    assert problem(attest(http, CHAN, body, auth=auth))[:2] == (403, "not-enrolled")


def test_without_a_current_crl_the_answer_is_try_later_and_nothing_is_spent(http: FlaskClient, clock: Clock) -> None:
    application = Application()
    clock.now = NOW + timedelta(hours=22, minutes=59)
    auth = bearer(http, CHAN)
    clock.now = NOW + timedelta(hours=23)
    body = request_body(application, signed_by(CHAN, application, when=clock.now))

    assert problem(attest(http, CHAN, body, auth=auth))[:2] == (503, "revocation-unknown")
    clock.now = NOW + timedelta(hours=22, minutes=59)
    assert attest(http, CHAN, body, auth=auth).status_code == 201


def test_without_a_good_access_token_nothing_is_attested(http: FlaskClient) -> None:
    _, body = good()
    for token in (None, "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer \x00"):
        headers = {"Idempotency-Key": uuid.uuid4().hex} | ({"Authorization": token} if token else {})
        answer = http.post("/identity/v1/attestations", headers=headers, json=body)
        assert problem(answer)[:2] == (401, "token-refused"), token


def test_an_expired_access_token_is_refused(http: FlaskClient, clock: Clock) -> None:
    auth = bearer(http, CHAN)
    _, body = good()
    clock.now = NOW + timedelta(minutes=15)

    assert problem(attest(http, CHAN, body, auth=auth))[:2] == (401, "token-refused")


def test_an_attestation_is_no_access_token(http: FlaskClient) -> None:
    _, body = good()
    answer = attest(http, CHAN, body)
    assert answer.json is not None

    auth = {"Authorization": f"Bearer {answer.json['attestation']}"}

    assert problem(http.get("/identity/v1/me", headers=auth))[:2] == (401, "token-refused")


def test_an_idempotency_key_is_needed(http: FlaskClient) -> None:
    _, body = good()

    answer = http.post("/identity/v1/attestations", headers=bearer(http, CHAN), json=body)

    assert problem(answer)[:2] == (400, "idempotency-key-missing")


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


def test_a_bad_body_is_a_problem_and_never_a_fault(http: FlaskClient) -> None:
    auth = bearer(http, CHAN)
    for what, (data, media_type) in BAD_BODIES.items():
        headers = {**auth, "Idempotency-Key": uuid.uuid4().hex}
        answer = http.post("/identity/v1/attestations", headers=headers, data=data, content_type=media_type)
        assert problem(answer)[0] in {400, 413, 415, 422}, what


def test_evidence_cannot_be_changed_by_the_running_service(http: FlaskClient, pool: Pool) -> None:
    attest(http, CHAN, good()[1])

    for change in ("UPDATE evidence SET nonce = 'x'", "DELETE FROM evidence", "DELETE FROM evidence_crls"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), pool.connection() as conn:
            conn.execute(change)


def exported(http: FlaskClient, pool: Pool, folder: Path) -> str:
    answer = attest(http, CHAN, good()[1])
    assert answer.json is not None
    with pool.connection() as conn:
        return evidence.export(conn, uuid.UUID(answer.json["evidence_id"]), folder)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def test_exported_evidence_is_verified_by_openssl_alone(http: FlaskClient, pool: Pool, tmp_path: Path) -> None:
    command = exported(http, pool, tmp_path)

    checked = run(command, tmp_path)

    assert checked.returncode == 0, checked.stderr
    assert "erification successful" in checked.stderr
    assert run("sh verify.sh", tmp_path).returncode == 0


def _keep(file: Path, kind: str) -> None:
    """Keep only the PEM blocks of one kind."""
    blocks = re.findall(rf"-----BEGIN {kind}-----.*?-----END {kind}-----\n", file.read_text(), re.DOTALL)
    assert blocks
    file.write_text("".join(blocks))


SPOILED: dict[str, Callable[[Path], object]] = {
    "the document": lambda folder: (folder / "document.json").write_bytes(b"{}"),
    "the CRLs": lambda folder: _keep(folder / "chain-and-crls.pem", "CERTIFICATE"),
    "the anchor": lambda folder: _keep(folder / "chain-and-crls.pem", "X509 CRL"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_spoiled_evidence_is_not_verified(
    http: FlaskClient, pool: Pool, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    command = exported(http, pool, tmp_path)
    spoil(tmp_path)

    assert run(command, tmp_path).returncode != 0


def test_the_decision_is_exported_with_what_it_rested_on(http: FlaskClient, pool: Pool, tmp_path: Path) -> None:
    exported(http, pool, tmp_path)

    decision = json.loads((tmp_path / "decision.json").read_text())

    assert decision["outcome"] == "accepted"
    assert datetime.fromisoformat(decision["verified_at"]) == NOW
    assert len(decision["crls"]) == 2


def test_unknown_evidence_is_refused(pool: Pool, tmp_path: Path) -> None:
    with pool.connection() as conn, pytest.raises(EvidenceNotFound):
        evidence.export(conn, uuid.uuid4(), tmp_path)


def test_evidence_keeps_its_crls_when_newer_ones_come(
    http: FlaskClient, pool: Pool, clock: Clock, tmp_path: Path
) -> None:
    command = exported(http, pool, tmp_path / "before")
    later = NOW + timedelta(hours=1)
    clock.now = later
    newer = CRL(number=2, this_update=later, next_update=later + timedelta(hours=24))
    take_crls(
        pool, clock, make_crl(world().root, newer), make_crl(world().sub, newer), make_crl(world().sibling, newer)
    )
    with transaction(pool, clock=clock) as tx:
        pruned = crl_store.prune_crls(tx.conn, later + timedelta(days=1))
        evidence_id = json.loads((tmp_path / "before" / "decision.json").read_text())["evidence_id"]
        assert evidence.export(tx.conn, uuid.UUID(evidence_id), tmp_path / "after") == command

    assert pruned == 1, "the sibling's old one, which no evidence needs"
    assert run(command, tmp_path / "after").returncode == 0

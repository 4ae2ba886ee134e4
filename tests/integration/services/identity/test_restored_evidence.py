"""Evidence that a restored database lacks comes back from its copies, as it was, and nothing else does."""

import json
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from flask.testing import FlaskClient

from services.identity import copies, enrolment, evidence, main
from services.identity.cms import MAX_BYTES as MAX_SIGNATURE_BYTES
from services.identity.document import MAX_BYTES as MAX_DOCUMENT_BYTES
from services.identity.store import Evidence
from shared.db import Pool
from shared.events.base import Envelope, Topic
from shared.messaging import outbox_recovery
from shared.messaging.outbox import MAX_DATA_BYTES
from shared.tx import transaction
from shared.vocabulary import RenewalId
from tests.integration.services.identity.conftest import (
    CHAN,
    JWKS,
    KEYS,
    TRUST,
    WONG,
    Application,
    Clock,
    attest,
    bearer,
    good,
    people,
    take_crls,
)
from tests.support.databases import AsNew
from tests.support.engines import Database
from tests.support.recalling import bring_back, travelled
from tests.unit.services.identity.builders import CRL, NOW, make_crl, world

CHECKS: Final = copies.Checks(keys=KEYS)
TABLES: Final = {
    "evidence": "SELECT * FROM evidence ORDER BY id",
    "evidence_crls": "SELECT * FROM evidence_crls ORDER BY 1, 2, 3",
}


def rows(pool: Pool, query: str) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute(query.encode()).fetchall()


def kept(pool: Pool) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows(pool, query) for table, query in TABLES.items()}


@pytest.fixture
def restored(pool: Pool, identity_database: Database, clock: Clock) -> Callable[[], list[Envelope]]:
    """Call it to bring the database back to this moment; it returns what Kafka keeps."""
    backup = AsNew.read(identity_database.superuser_url)

    def restore() -> list[Envelope]:
        announced = travelled(pool)
        assert backup.restore(identity_database.superuser_url)
        pool.check()
        return announced

    return restore


@pytest.fixture
def begun(enrolled: None, current_crls: None, restored: Callable[[], list[Envelope]]) -> Callable[[], list[Envelope]]:
    """The same, with the register and lists as they are in the backup."""
    return restored


def restore(pool: Pool, clock: Clock, checks: copies.Checks = CHECKS, **how: Any) -> copies.Restored:
    return copies.restore(pool, checks, actor="operator", clock=clock, **how)


def test_lost_evidence_is_restored_unchanged_and_once(
    http: FlaskClient, pool: Pool, clock: Clock, begun: Callable[[], list[Envelope]]
) -> None:
    attest(http, WONG, good(Application(ar_id="wong", ar_name="WONG Ka Ho"), WONG)[1])
    answers = [attest(http, CHAN, good()[1]) for _ in range(4)]
    before = kept(pool)
    announced = begun()
    assert kept(pool)["evidence"] == []
    bring_back(pool, announced)
    first = restore(pool, clock, batch=2)
    assert (first.restored, first.known, first.refused, first.lists_missing) == (5, 0, [], [])
    assert kept(pool) == before
    again = restore(pool, clock, batch=2)
    assert (again.restored, again.known, again.refused) == (0, 5, [])
    audited = rows(pool, "SELECT actor, subject, details FROM audit_log WHERE action = 'evidence-restored'")
    assert len(audited) == 5
    assert {(actor, details["evidence_id"]) for actor, _, details in audited} >= {
        ("operator", answer.json["evidence_id"])  # type: ignore[index]
        for answer in answers
    }


def test_recall_restores_the_evidence_before_a_process_can_start(
    http: FlaskClient, pool: Pool, begun: Callable[[], list[Envelope]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for _ in range(2):
        attest(http, CHAN, good()[1])
    before = kept(pool)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(JWKS))
    settings = SimpleNamespace(identity_jwks_file=jwks)
    monkeypatch.setattr(main, "read_service_settings", lambda: settings)
    announced = begun()
    whole, calls = copies._add, iter(range(1))

    def add(*given: Any) -> bool:
        with pytest.raises(outbox_recovery.RecoveryUnfinished):
            outbox_recovery.require_ended(pool)
        if next(calls, None) is not None:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(copies, "_add", add)
    with pytest.raises(KeyboardInterrupt):
        bring_back(pool, announced, then=main.SERVICE.after_recall)
    with pytest.raises(outbox_recovery.RecoveryUnfinished):
        outbox_recovery.require_ended(pool)
    assert bring_back(pool, announced, then=main.SERVICE.after_recall).not_put_back == []
    outbox_recovery.require_ended(pool)
    assert kept(pool) == before


def test_recall_names_the_evidence_of_an_ar_not_yet_enrolled(
    http: FlaskClient, pool: Pool, clock: Clock, restored: Callable[[], list[Envelope]]
) -> None:
    enrolment.enrol(pool, people(), "test", clock=clock)
    take_crls(pool, clock, *world().crls())
    application, body = good()
    attest(http, CHAN, body)
    found = bring_back(
        pool, restored(), then=lambda pool, _, actor: copies.restore_after_recall(pool, KEYS, actor=actor, clock=clock)
    )
    (line,) = found.not_put_back
    assert line.startswith(f"renewal {application.renewal_id}: copy-refused: enrol chan of example again")


def test_interrupted_restore_is_resumed(
    http: FlaskClient,
    pool: Pool,
    clock: Clock,
    begun: Callable[[], list[Envelope]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        attest(http, CHAN, good()[1])
    before = kept(pool)
    bring_back(pool, begun())
    done = iter(range(2))
    whole = copies._add

    def add(*given: Any) -> bool:
        if next(done, None) is None:
            raise KeyboardInterrupt
        return whole(*given)

    with monkeypatch.context() as broken:
        broken.setattr(copies, "_add", add)
        with pytest.raises(KeyboardInterrupt):
            restore(pool, clock, batch=2)
    assert len(kept(pool)["evidence"]) == 2
    found = restore(pool, clock, batch=2)
    assert (found.restored, found.known) == (1, 2)
    assert kept(pool) == before


def test_same_signature_gets_its_attestation_from_restored_evidence(
    http: FlaskClient, pool: Pool, clock: Clock, begun: Callable[[], list[Envelope]]
) -> None:
    _, body = good()
    first = attest(http, CHAN, body)
    bring_back(pool, begun())
    restore(pool, clock)
    assert attest(http, CHAN, body).data == first.data


def test_evidence_of_an_ar_not_yet_enrolled_waits_for_the_enrolment(
    http: FlaskClient, pool: Pool, clock: Clock, restored: Callable[[], list[Envelope]]
) -> None:
    def enrol() -> None:
        enrolment.enrol(pool, people(), "test", clock=clock)
        take_crls(pool, clock, *world().crls())

    enrol()
    attest(http, CHAN, good()[1])
    before = kept(pool)
    bring_back(pool, restored())
    found = restore(pool, clock)
    assert (found.restored, len(found.refused)) == (0, 1)
    assert "copy-refused: enrol chan of example again" in found.refused[0]
    enrol()
    assert restore(pool, clock).restored == 1
    assert kept(pool) == before


def test_lost_crls_are_reported_and_restored_from_files(
    http: FlaskClient, pool: Pool, clock: Clock, begun: Callable[[], list[Envelope]], tmp_path: Path
) -> None:
    clock.now = NOW + timedelta(minutes=5)
    newer = CRL(number=2, this_update=clock.now, next_update=clock.now + timedelta(hours=24))
    lists = [make_crl(each, newer) for each in (world().root, world().sub)]
    take_crls(pool, clock, *lists)
    answer = attest(http, CHAN, good()[1])
    before = kept(pool)
    bring_back(pool, begun())
    found = restore(pool, clock)
    assert (found.restored, len(found.lists_missing), found.refused) == (1, 2, [])
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "README").write_text("no list")
    (archive / "root.crl").write_bytes(lists[0])
    pem = x509.load_der_x509_crl(lists[1]).public_bytes(serialization.Encoding.PEM)
    (archive / "sub.pem").write_bytes(pem)
    again = restore(pool, clock, replace(CHECKS, lists=copies.find_lists(archive), trust=TRUST))
    assert (again.known, again.lists_missing, again.refused) == (1, [], [])
    assert kept(pool) == before
    assert rows(pool, "SELECT number FROM crl_heads WHERE number <> 1") == [], "an older list is not in force again"
    with pool.connection() as conn:
        evidence.export(conn, uuid.UUID(answer.json["evidence_id"]), tmp_path / "out")  # type: ignore[index]
    checked = subprocess.run(["sh", "verify.sh"], cwd=tmp_path / "out", capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


Change = Callable[[dict[str, Any], dict[str, Any]], object]
# What a forger of the topic may write: the copy, and another renewal's.
SPOILED: Final[dict[str, Change]] = {
    "no JSON of ours": lambda copy, other: copy.clear(),
    "no Base64": lambda copy, other: copy.update(document="*"),
    "another document": lambda copy, other: copy.update(document=other["document"]),
    "another signature": lambda copy, other: copy.update(signature=other["signature"]),
    "another attestation": lambda copy, other: copy.update(attestation=other["attestation"]),
    "an attestation that nobody signed": lambda copy, other: copy.update(attestation=copy["attestation"][:-9]),
    "another id": lambda copy, other: copy.update(evidence_id=other["evidence_id"]),
    "another time": lambda copy, other: copy.update(verified_at="2026-11-01T00:00:00Z"),
    "another signer": lambda copy, other: copy.update(chain=copy["chain"][1:]),
    "no decision": lambda copy, other: copy.update(decision="{"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_copy_that_fails_verification_is_reported_and_the_others_are_restored(
    http: FlaskClient, pool: Pool, clock: Clock, begun: Callable[[], list[Envelope]], spoil: Change
) -> None:
    attest(http, CHAN, good()[1])
    attest(http, CHAN, good()[1])
    announced = begun()
    first, second = (json.loads(each.data) for each in announced if each.topic is Topic.EVIDENCE)
    spoil(second, first)
    at = max(place for place, each in enumerate(announced) if each.topic is Topic.EVIDENCE)
    announced[at] = replace(announced[at], data=json.dumps(second).encode())
    bring_back(pool, announced)
    found = restore(pool, clock)
    assert (found.restored, len(found.refused)) == (1, 1)
    assert announced[at].subject in found.refused[0]


def test_conflicting_evidence_is_reported_and_kept(
    http: FlaskClient, pool: Pool, clock: Clock, begun: Callable[[], list[Envelope]]
) -> None:
    application, body = good()
    attest(http, CHAN, body)
    announced = begun()
    attest(http, CHAN, body)
    before = kept(pool)
    with pool.connection() as conn:
        conn.execute("UPDATE outbox SET sent_at = now()")
    bring_back(pool, [replace(each, sequence=2) for each in announced])
    found = restore(pool, clock)
    assert found.refused == [
        f"renewal {application.renewal_id}: copy-refused: the same signature, nonce or renewal has another evidence"
    ]
    assert kept(pool) == before


def test_restore_ends_earlier_sessions_and_sign_ins(
    http: FlaskClient, pool: Pool, clock: Clock, begun: Callable[[], list[Envelope]], identity_database: Database
) -> None:
    session = "/identity/v1/session"
    signed_out, open_still = bearer(http, CHAN), bearer(http, WONG)
    assert http.post("/identity/v1/session-ends", headers=signed_out).status_code == 204
    assert http.post("/identity/v1/challenges", json={}).status_code == 201
    announced = begun()
    assert http.get(session, headers=signed_out).status_code == 204, "the database has forgotten it"
    assert http.post("/identity/v1/challenges", json={}).status_code == 201
    bring_back(pool, announced)
    restore(pool, clock)
    assert [http.get(session, headers=each).status_code for each in (signed_out, open_still)] == [401, 401]
    assert rows(pool, "SELECT count(*) FROM sign_in_challenges") == [(0,)]
    with psycopg.connect(identity_database.superuser_url) as conn:
        conn.execute("UPDATE outbox_recoveries SET began_at = %s", (NOW + timedelta(minutes=1),))
    clock.now = NOW + timedelta(minutes=2)
    assert http.get(session, headers=bearer(http, CHAN)).status_code == 204


def test_largest_evidence_fits_into_an_event(pool: Pool, clock: Clock) -> None:
    largest = Evidence(
        id=uuid.uuid4(),
        renewal_id=RenewalId(uuid.uuid4()),
        subscriber_id="s" * 64,  # type: ignore[arg-type]
        ar_id="a" * 64,  # type: ignore[arg-type]
        nonce="n" * 128,
        document=b"d" * MAX_DOCUMENT_BYTES,
        document_sha256="0" * 64,
        signature=b"s" * MAX_SIGNATURE_BYTES,
        signature_sha256="0" * 64,
        certificate_sha256="0" * 64,
        chain=[b"c" * MAX_SIGNATURE_BYTES] * 3,
        decision={"certificate_subject": "n" * MAX_SIGNATURE_BYTES},
        attestation="t" * 20_000,
        verified_at=NOW,
    )
    with transaction(pool, clock=clock) as tx:
        copies.announce(tx, largest, ())
    [(size,)] = rows(pool, "SELECT octet_length(data) FROM outbox")
    assert size < MAX_DATA_BYTES


def test_service_role_cannot_blank_events_needed_for_recovery(
    http: FlaskClient, pool: Pool, identity_database: Database, enrolled: None, current_crls: None
) -> None:
    attest(http, CHAN, good()[1])
    for age, blanked in ((45, 0), (47, 1)):
        with psycopg.connect(identity_database.superuser_url) as conn:
            conn.execute("UPDATE outbox SET sent_at = now() - make_interval(days => %s)", (age,))
        with pool.connection() as conn:
            assert len(conn.execute("SELECT blank_copies_of_evidence('infinity', 100)").fetchall()) == blanked
    assert rows(pool, "SELECT topic FROM outbox WHERE data = ''") == [("identity.evidence",)]

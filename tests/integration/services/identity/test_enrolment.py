"""ARs and their offices: enrolled from a file, ended and replaced by an operator, and never forgotten."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.identity import enrolment, main, store
from services.identity.refusals import ARNotFound, EnrolmentRefused
from shared.db import Pool
from shared.effect_ids import effect_id
from shared.events.base import Topic
from shared.events.identity import AuthorisedRepresentativeReplaced
from shared.messaging import outbox
from shared.runtime.command_line import run
from shared.tx import transaction
from shared.vocabulary import ARId
from tests.integration.services.identity.conftest import (
    CHAN,
    WONG,
    Clock,
    ar,
    count,
    people,
    spelt,
    subscriber,
)
from tests.support.problems import full_problem
from tests.support.waiting_locks import queue_up
from tests.unit.services.identity.builders import Holder, world


def enrol(pool: Pool, clock: Clock, content: dict[str, Any]) -> tuple[int, int]:
    return enrolment.enrol(pool, content, "operator", clock=clock)


def test_same_file_again_changes_nothing(pool: Pool, clock: Clock) -> None:
    assert enrol(pool, clock, people()) == (2, 3)
    audited = count(pool, "audit_log")
    assert enrol(pool, clock, people()) == (2, 3)

    assert (count(pool, "subscribers"), count(pool, "authorised_representatives")) == (2, 3)
    assert count(pool, "ar_certificates") == 3
    assert count(pool, "audit_log") == audited == 8


@pytest.mark.parametrize(
    "spell",
    [
        lambda pem: "\ufeff" + pem.replace("\n", "\r\n"),
        lambda pem: "subject=CN = CHAN\n" + pem,
        lambda pem: "".join(pem.splitlines()[1:-1]),
        lambda pem: "".join(f"> {line}\n" for line in pem.splitlines()),
        lambda pem: pem.replace("\n", "\\n"),
    ],
    ids=["mark", "listing", "bare", "quoted", "JSON"],
)
def test_e_cert_is_read_in_every_pasted_form(pool: Pool, clock: Clock, spell: Callable[[str], str]) -> None:
    person = ar("chan", "CHAN Tai Man") | {"certificates": [spell(CHAN.pem)]}
    enrol(pool, clock, {"subscribers": [subscriber("example", "Example Limited", "12345678", person)]})
    assert count(pool, "ar_certificates") == 1


def test_changed_contact_is_updated_and_audited(pool: Pool, clock: Clock) -> None:
    enrol(pool, clock, people())
    changed = people()
    changed["subscribers"][0]["authorised_representatives"][0]["email"] = "new@example.hk"
    enrol(pool, clock, changed)

    with pool.connection() as conn:
        emails = conn.execute("SELECT email FROM authorised_representatives WHERE id = 'chan'").fetchall()
    assert emails == [("new@example.hk",)]
    assert count(pool, "audit_log") == 9


REFUSED: dict[str, Callable[[], dict[str, Any]]] = {
    "an e-Cert of another AR": lambda: subscriber("example", "E", "12345678", ar("ho", "HO", CHAN)),
    "an AR of another subscriber": lambda: subscriber("other", "O", "87654321", ar("chan", "CHAN Tai Man")),
    "a BRN of another subscriber": lambda: subscriber("third", "Third Limited", "12345678"),
    "two certificates in one": lambda: subscriber(
        "example", "E", "12345678", ar("chan", "C") | {"certificates": [CHAN.pem + WONG.pem]}
    ),
    "no certificate": lambda: subscriber("example", "E", "12345678", ar("chan", "C") | {"certificates": ["junk"]}),
}


def test_file_that_contradicts_the_records_is_refused_whole(pool: Pool, clock: Clock) -> None:
    enrol(pool, clock, people())
    audited = count(pool, "audit_log")
    for what, make in REFUSED.items():
        with pytest.raises(EnrolmentRefused):
            enrol(pool, clock, {"subscribers": [subscriber("new", "New Limited", "99999999"), make()]})
        assert count(pool, "audit_log") == audited, what
        assert count(pool, "subscribers") == 2, what


BAD_FILES = {
    "no JSON": "{",
    "a list": "[]",
    "nothing": "{}",
    "unknown field": json.dumps({"subscribers": [], "more": 1}),
    "bad BRN": json.dumps({"subscribers": [subscriber("a", "A", "123")]}, default=spelt),
}


BAD_SUBSCRIBERS: dict[str, dict[str, Any]] = {
    "name": {"name": "A\nB"},
    "name_zh": {"name_zh": "不適用"},
    "country": {"country": "UK"},
    "locality": {"locality": None, "state_or_province": None},
    "state_or_province": {"state_or_province": "x" * 129},
}
BAD_ARS: dict[str, dict[str, Any]] = {
    "name": {"name": "CHAN \U00030000"},
    "name_zh": {"name_zh": "陳\u200b大文"},
    "email": {"email": "chan@例子.hk"},
    "address": {"address": ["x" * 200] * 8},
}


@pytest.mark.parametrize(("field", "changes"), BAD_SUBSCRIBERS.items())
def test_subscriber_that_no_certificate_can_name_is_refused(
    pool: Pool, clock: Clock, field: str, changes: dict[str, Any]
) -> None:
    record = subscriber("example", "Example Limited", "12345678") | changes
    with pytest.raises(EnrolmentRefused, match=f"example: {field}: "):
        enrol(pool, clock, {"subscribers": [record]})
    assert count(pool, "subscribers") == 0


@pytest.mark.parametrize(("field", "changes"), BAD_ARS.items())
def test_ar_whom_no_mail_or_letter_can_reach_is_refused(
    pool: Pool, clock: Clock, field: str, changes: dict[str, Any]
) -> None:
    record = subscriber("example", "Example Limited", "12345678", ar("chan", "CHAN Tai Man") | changes)
    with pytest.raises(EnrolmentRefused, match=f"chan: {field}: "):
        enrol(pool, clock, {"subscribers": [record]})
    enrol(pool, clock, people())
    with pytest.raises(EnrolmentRefused, match=f"new: {field}: "), transaction(pool, clock=clock) as tx:
        enrolment.replace(tx, ARId("chan"), ar("new", "NEW Man") | changes, "left", "operator")


def test_bad_file_is_refused_in_one_line(tmp_path: Path) -> None:
    for what, text in BAD_FILES.items():
        (tmp_path / "file.json").write_text(text)
        with pytest.raises(EnrolmentRefused):
            enrolment.read_file(tmp_path / "file.json")
            pytest.fail(what)
    with pytest.raises(EnrolmentRefused):
        enrolment.read_file(tmp_path / "not-there.json")


def test_ended_office_is_stored_and_cannot_be_reopened(pool: Pool, clock: Clock) -> None:
    enrol(pool, clock, people())
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left", "operator")

    with pytest.raises(EnrolmentRefused):
        enrol(pool, clock, people())
    with pytest.raises(ARNotFound), transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left", "operator")
    with pool.connection() as conn:
        row = conn.execute(
            """SELECT r.end_reason, r.ended_at, c.withdrawn_at FROM authorised_representatives AS r
               JOIN ar_certificates AS c ON c.ar_id = r.id WHERE r.id = 'chan'"""
        ).fetchone()
    assert row == ("left", clock.now, clock.now)


def test_successor_takes_over_with_an_e_cert_of_their_own(pool: Pool, clock: Clock) -> None:
    enrol(pool, clock, people())
    with transaction(pool, clock=clock) as tx:
        enrolment.replace(tx, ARId("chan"), ar("ho", "HO Chi Wai"), "changed jobs", "operator")

    with pool.connection() as conn:
        rows = conn.execute("SELECT id, subscriber_id, replaced_by FROM authorised_representatives").fetchall()
    assert set(rows) == {
        ("chan", "example", "ho"),
        ("ho", "example", None),
        ("wong", "example", None),
        ("lee", "other", None),
    }
    with pool.connection() as conn:
        (event,) = outbox.stored(conn, str(effect_id("subscriber", "example")))
    assert (event.topic, event.type) == (Topic.REGISTER, AuthorisedRepresentativeReplaced.TYPE)


def test_successor_of_an_unknown_ar_or_of_oneself_is_refused(pool: Pool, clock: Clock) -> None:
    enrol(pool, clock, people())
    for ar_id, successor, refusal in (
        ("nobody", ar("ho", "HO"), ARNotFound),
        ("chan", ar("chan", "CHAN Tai Man"), EnrolmentRefused),
    ):
        with pytest.raises(refusal), transaction(pool, clock=clock) as tx:
            enrolment.replace(tx, ARId(ar_id), successor, "why", "operator")


def operate(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    run(main.SERVICE, arguments)
    return capsys.readouterr().out.strip().splitlines()[-1]


@pytest.mark.usefixtures("environment")
def test_operator_commands_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = operate(capsys, "enrol", str(tmp_path / "enrolment.json"), "--actor", "desk")
    assert said == "enrolled 2 subscribers with 3 Authorised Representatives"
    who = ("--actor", "desk", "--reason", "left")
    assert operate(capsys, "revoke-ar", "lee", *who) == "lee no longer acts"
    successor = str(tmp_path / "successor.json")
    assert operate(capsys, "replace-ar", "chan", successor, *who) == "ho acts in place of chan"

    with pytest.raises(SystemExit) as ended:
        operate(capsys, "revoke-ar", "lee", *who)
    assert "ar-not-found" in str(ended.value)


@pytest.mark.usefixtures("environment")
def test_register_is_corrected_while_a_recovery_is_open(
    pool: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pool.connection() as conn:
        conn.execute("INSERT INTO outbox_recoveries (actor, began_at) VALUES ('test', now())")
    operate(capsys, "enrol", str(tmp_path / "enrolment.json"), "--actor", "desk")
    who = ("--actor", "desk", "--reason", "left")
    operate(capsys, "revoke-ar", "lee", *who)
    operate(capsys, "replace-ar", "chan", str(tmp_path / "successor.json"), *who)
    assert count(pool, "authorised_representatives") == 4


@pytest.mark.usefixtures("environment")
def test_unknown_evidence_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        operate(capsys, "evidence", "0b0d1a7e-8a5e-4f0e-9a43-0d8a5a3f2f11", str(tmp_path / "out"), "--actor", "desk")

    assert "evidence-not-found" in str(ended.value)
    assert not (tmp_path / "out").exists()


def test_app_is_built_from_its_settings_and_tasks_read_the_crls(environment: dict[str, str], pool: Pool) -> None:
    app = main.make_app(pool)
    assert app.test_client().get("/identity/v1/jwks").status_code == 200
    assert full_problem(app.test_client().post("/identity/v1/tokens"))[0] == 403

    ((name, task),) = main.tasks(pool)
    assert name == "refresh-crls"
    assert task()
    assert not task()


WRONG = {
    "BIND": ("127.0.0.1:8000", "BIND"),
    "CLIENT_TRUST_DIR": ("/nowhere", "CLIENT_TRUST_DIR"),
    "ECERT_ORGANISATIONAL_POLICY_OIDS": ("not-an-oid", "ECERT_ORGANISATIONAL_POLICY_OIDS"),
    "CLIENT_CRLS": (" , ", "CLIENT_CRLS"),
}


def test_wrong_settings_are_named(environment: dict[str, str], pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (value, expected) in WRONG.items():
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            with pytest.raises(SystemExit, match=expected):
                main.make_app(pool)


def test_intermediate_among_the_anchors_is_refused(environment: dict[str, str], pool: Pool, tmp_path: Path) -> None:
    wrong = Holder(certificate=world().sub.certificate, key=world().sub.key)
    (tmp_path / "anchors" / "sub.pem").write_text(wrong.pem)

    with pytest.raises(SystemExit, match="not a root"):
        main.make_app(pool)


def test_help_needs_no_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(main.SERVICE, ["--help"])

    assert ended.value.code == 0
    assert "replace-ar" in capsys.readouterr().out


def test_office_that_ends_and_a_sign_in_never_deadlock(pool: Pool, clock: Clock) -> None:
    enrol(pool, clock, people())
    with pool.connection() as conn:
        row = conn.execute("SELECT sha256 FROM ar_certificates WHERE ar_id = 'chan'").fetchone()
    assert row is not None
    found: list[object] = []

    def replaces() -> None:
        with transaction(pool, clock=clock) as tx:
            enrolment.revoke(tx, ARId("chan"), "left", "operator")

    def signs_in() -> None:
        with transaction(pool, clock=clock) as tx:
            found.append(store.find_ar_by_certificate(tx.conn, row[0]))

    held = "SELECT 1 FROM authorised_representatives WHERE id = 'chan' FOR UPDATE"
    assert queue_up(pool, held, replaces, signs_in) == []
    assert found == [None]

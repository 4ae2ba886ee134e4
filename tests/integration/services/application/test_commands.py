"""The operators' commands: import the register, release a renewal on hold; what goes wrong is one line."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.application.main import SERVICE
from shared.db import Pool
from shared.events.application import CSRRequested
from shared.runtime.command_line import run
from tests.integration.services.application.world import ROWS, WWW, World, body
from tests.support import builders
from tests.support.builders import subscription_row
from tests.support.engines import Database

Run = Callable[..., None]
OFFICER = ("--actor", "officer")


@pytest.fixture
def command(application_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command as an operator does, with the environment of production."""
    jwks, audit_key = tmp_path / "jwks.json", tmp_path / "audit.pem"
    jwks.write_text(json.dumps({"keys": [builders.signing_key("identity").jwk()]}))
    audit_key.write_text("only the sealer and the web process read it")
    environment = application_database.environment | {
        "ENVIRONMENT": "local",
        "IDENTITY_JWKS_FILE": str(jwks),
        "APPLICATION_SIGNING_KEY_FILE": str(audit_key),
        "APPLICATION_JWKS_FILE": str(jwks),
        "AUDIT_KEY_FILE": str(audit_key),
        "FINGERPRINT_KEY_FILE": str(audit_key),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: run(SERVICE, [str(argument) for argument in arguments])


@pytest.fixture
def refused(command: Run) -> Callable[..., str]:
    """Run a command that is refused; its one line."""

    def fail(*arguments: Any) -> str:
        with pytest.raises(SystemExit) as caught:
            command(*arguments)
        message = str(caught.value)
        assert "Traceback" not in message
        return message

    return fail


def subscriptions(pool: Pool) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute("SELECT srn, ar_id, standing FROM subscriptions ORDER BY srn").fetchall()


def as_json(folder: Path, *rows: Any) -> Path:
    file = folder / "register.json"
    file.write_text(json.dumps({"subscriptions": rows}, ensure_ascii=False), "utf-8")
    return file


def as_csv(folder: Path, *rows: dict[str, Any], encoding: str = "utf-8", newline: str = "\n") -> Path:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        text = row["certificate"].replace("\n", newline)
        writer.writerow(row | {"server_names": " ".join(row["server_names"]), "certificate": text})
    file = folder / "Register.CSV"
    file.write_bytes(out.getvalue().encode(encoding))
    return file


def test_json_import_can_be_repeated_without_change(
    pool: Pool, command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = as_json(tmp_path, *ROWS)
    command("import", file, "--actor", "officer")
    command("import", file, "--actor", "clerk")
    assert capsys.readouterr().out == "imported 3 subscriptions\n" * 2
    assert [row[0] for row in subscriptions(pool)] == [row["srn"] for row in ROWS]
    with pool.connection() as conn:
        actors = conn.execute("SELECT actor FROM audit_log ORDER BY id").fetchall()
    assert [actor for (actor,) in actors] == ["officer"] * 3 + ["clerk"] * 3


@pytest.mark.parametrize(
    ("encoding", "newline"),
    [("utf-8", "\n"), ("utf-8-sig", "\r\n"), ("utf-8", "\\n"), ("utf-16", "\r\n"), ("utf-16-le", "\n"), ("utf-8", " ")],
)
def test_csv_of_spreadsheet_programs_is_imported(
    pool: Pool, command: Run, tmp_path: Path, encoding: str, newline: str
) -> None:
    command("import", as_csv(tmp_path, *ROWS, encoding=encoding, newline=newline), *OFFICER)
    assert len(subscriptions(pool)) == 3
    world = World(pool=pool)
    assert {s["srn"]: s["reason"] for s in body(world.get("/subscriptions"))} == {row["srn"]: None for row in ROWS}


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


GOOD = subscription_row("0002310009")
BAD_ROWS: dict[str, tuple[Any, str]] = {
    "no object": ("0002310001", "Invalid input type"),
    "null": (None, "Invalid input type"),
    "no SRN": (without(GOOD, "srn"), "srn"),
    "a short SRN": (GOOD | {"srn": "1"}, "srn"),
    "an unknown field": (GOOD | {"price": 1}, "price"),
    "an unknown product": (GOOD | {"product": "ev"}, "product"),
    "an unknown standing": (GOOD | {"standing": "lost"}, "standing"),
    "servers below zero": (GOOD | {"additional_servers": -1}, "additional_servers"),
    "an empty name": (GOOD | {"subscriber_name": ""}, "subscriber_name"),
    "a NUL": (GOOD | {"ar_name": "CHAN\0"}, "ar_name"),
    "a lone surrogate": (GOOD | {"ar_name": "CHAN\ud800"}, "ar_name"),
    "a stand-in for a name": (GOOD | {"subscriber_name": "N/A"}, "subscriber_name"),
    "a trailing blank": (GOOD | {"subscriber_name": "Example Limited "}, "subscriber_name"),
    "an HTML entity": (GOOD | {"subscriber_name": "Chan &amp; Sons"}, "subscriber_name"),
    "a change of direction": (GOOD | {"subscriber_name": "Ex\u202eample"}, "U+202E"),
    "a name that cannot be printed": (GOOD | {"ar_name": "CHAN 😀"}, "U+1F600"),
    "no server name": (GOOD | {"server_names": []}, "server_names"),
    "two names of a standard": (GOOD | {"server_names": ["a.example.hk", "b.example.hk"]}, "server_names"),
    "a wildcard in a standard": (GOOD | {"server_names": ["*.example.hk"]}, "server_names"),
    "a wildcard without one": (GOOD | {"product": "wildcard"}, "server_names"),
    "a name twice": (
        GOOD | {"product": "multi-domain", "server_names": ["a.example.hk", "a.example.hk"]},
        "server_names",
    ),
    "51 names": (
        GOOD | {"product": "multi-domain", "server_names": [f"n{n}.example.hk" for n in range(51)]},
        "server_names",
    ),
    "a wildcard of a whole suffix": (GOOD | {"product": "wildcard", "server_names": ["*.com.hk"]}, "name-is-public"),
    "an address": (GOOD | {"server_names": ["10.0.0.1"]}, "name-is-ip-address"),
    "an internal name": (GOOD | {"server_names": ["mail.office.local"]}, "name-internal"),
    "a label of 64 characters": (GOOD | {"server_names": ["a" * 64 + ".example.hk"]}, "name-not-letters"),
    "a name of 300 characters": (GOOD | {"server_names": [".".join(["a" * 60] * 5)]}, "name-too-long"),
    "a name in capitals": (GOOD | {"server_names": ["WWW.example.hk"]}, "write it www.example.hk"),
    "a name that is none": (GOOD | {"server_names": ["www example hk"]}, "server_names"),
    "no certificate": (GOOD | {"certificate": "none"}, "certificate"),
    "a certificate cut short": (GOOD | {"certificate": GOOD["certificate"][:200]}, "certificate"),
    "another's certificate": (
        GOOD | {"certificate": builders.pem(builders.certificate("www.lionrock.example.hk"))},
        "it does not name www.harbourlights.example.hk",
    ),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_one_bad_row_refuses_the_whole_file_and_is_named(
    pool: Pool, refused: Callable[..., str], tmp_path: Path, what: str
) -> None:
    row, said = BAD_ROWS[what]
    file = tmp_path / "register.json"
    file.write_text(json.dumps({"subscriptions": [ROWS[0], row, ROWS[1]]}))
    message = refused("import", file, *OFFICER)
    assert message.startswith("import-refused: row 2: ")
    assert said in message
    assert subscriptions(pool) == []


def test_duplicate_srn_is_refused(pool: Pool, refused: Callable[..., str], tmp_path: Path) -> None:
    message = refused("import", as_json(tmp_path, *ROWS, ROWS[0]), *OFFICER)
    assert message == f"import-refused: row 4: SRN {WWW} is there twice"
    assert subscriptions(pool) == []


BAD_FILES: dict[str, bytes] = {
    "register.json": b"{",
    "empty.json": b"",
    "list.json": b"[]",
    "null.json": b"null",
    "none.json": b'{"subscriptions": []}',
    "number.json": b'{"subscriptions": 1}',
    "object.json": b'{"subscriptions": {"srn": 1}}',
    "huge.json": b'{"subscriptions": ' + b"9" * 5000 + b"}",
    "deep.json": b"[" * 200_000,
    "latin.json": '{"subscriptions": "é"}'.encode("latin-1"),
    "empty.csv": b"",
    "header.csv": b"srn,product\r\n",
    "other.csv": b"a,b\r\n1,2\r\n",
    "surplus.csv": b"srn\r\n0002310001,1,2\r\n",
    "quote.csv": b'srn,product\r\n"0002310001',
    "binary.csv": bytes(range(256)),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_file_that_cannot_be_read_is_refused(
    pool: Pool, refused: Callable[..., str], tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(BAD_FILES[name])
    assert refused("import", file, *OFFICER).startswith("import-refused: ")
    assert subscriptions(pool) == []


def test_missing_file_is_refused(pool: Pool, refused: Callable[..., str], tmp_path: Path) -> None:
    assert "nowhere.json" in refused("import", tmp_path / "nowhere.json", *OFFICER)
    assert "import-refused" in refused("import", tmp_path, *OFFICER)


def test_private_key_beside_the_certificate_is_not_stored(pool: Pool, command: Run, tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"
    command("import", as_json(tmp_path, GOOD | {"certificate": GOOD["certificate"] + key}), *OFFICER)
    with pool.connection() as conn:
        assert conn.execute("SELECT certificate FROM subscriptions").fetchall() == [(GOOD["certificate"],)]


def test_import_does_not_restore_a_replaced_certificate(world: World, command: Run, tmp_path: Path) -> None:
    renewal = world.paid(WWW)
    issued = world.issued(renewal)
    world.apply(issued)
    command(
        "import", as_json(tmp_path, *[row | {"ar_id": "ar-new", "standing": "suspended"} for row in ROWS]), *OFFICER
    )
    found = {s["srn"]: (s["serial"], s["reason"]) for s in body(world.get("/subscriptions"))}
    assert found[WWW] == (issued.serial, "ar-changed")
    assert found["0002310002"][1] == "suspended"


# release


def test_renewal_whose_signer_is_again_the_ar_of_record_is_released(
    world: World, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    renewal = world.submitted(WWW)
    world.change_subscription(WWW, ar_id="ar-new")
    world.apply(world.captured(renewal))
    world.change_subscription(WWW, ar_id=world.ar.id)
    command("release", renewal.id, "--actor", "officer")
    assert capsys.readouterr().out.endswith(f"released {renewal.id}\n")
    assert world.state(renewal) == "awaiting-csrs"
    assert len(world.announced(renewal.id, CSRRequested)) == 1
    assert "renewal-released" in world.audited(str(renewal.id))


def test_renewal_whose_signer_is_not_the_ar_of_record_stays_on_hold(world: World, refused: Callable[..., str]) -> None:
    renewal = world.submitted(WWW)
    world.change_subscription(WWW, ar_id="ar-new")
    world.apply(world.captured(renewal))
    assert refused("release", renewal.id, "--actor", "officer").startswith("ar-changed: ")
    assert world.state(renewal) == "on-hold"
    assert world.announced(renewal.id, CSRRequested) == []


def test_only_a_renewal_on_hold_is_released(world: World, refused: Callable[..., str]) -> None:
    renewal = world.paid()
    assert refused("release", renewal.id, "--actor", "officer").startswith("not-in-this-state: ")
    assert len(world.announced(renewal.id, CSRRequested)) == 1
    assert refused("release", "00000000-0000-0000-0000-000000000000", "--actor", "officer").startswith(
        "renewal-not-found: "
    )


@pytest.mark.parametrize("arguments", [("release", "no-id", "--actor", "x"), ("release",), ("import",), ("nothing",)])
def test_wrong_arguments_are_reported(command: Run, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(*arguments)
    assert caught.value.code == 2

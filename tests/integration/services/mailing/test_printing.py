"""Every sealed PIN becomes one letter in one posting batch, and nobody but the print process can open it."""

import base64
import errno
import hashlib
import os
import re
import subprocess
import sys
import threading
import traceback
import uuid
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pypdf
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.mailing import envelope_store, print_work
from services.mailing.domain import Letter
from services.mailing.letters.pin_envelope import Stationery
from services.mailing.print_store import BatchRule, claim_due_envelope
from services.mailing.print_work import MAX_ATTEMPTS, print_next
from services.mailing.refusals import PrinterFailed
from tests.integration.services.mailing.world import World, sealed_event
from tests.support.engines import Database, Postgres
from tests.unit.services.mailing.letter import PIN, a_print_key, seal, sealed_content

NAMES = ("www.example.hk", "a.example.hk", "b.example.hk")


def text_of(path: Path) -> str:
    return pypdf.PdfReader(path).pages[0].extract_text()


def write_print_key(folder: Path) -> None:
    key, certificate = a_print_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "print.key").write_bytes(pem)
    (folder / "print.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def die(world: World, task: str, url: str, folder: Path) -> None:
    """Let a print process be killed between file and row."""
    write_print_key(folder)
    command = [
        sys.executable,
        "-m",
        "tests.integration.services.mailing.dying_printer",
        url,
        str(folder),
        str(world.posting),
    ]
    assert subprocess.run([*command, task, world.now.isoformat()], timeout=60, check=False).returncode == -9


def test_every_server_name_gets_one_letter_with_its_pin(world: World) -> None:
    renewal = world.renewal()
    pins = {name: f"{number}234567890123456" for number, name in enumerate(NAMES)}
    world.apply(*[renewal.sealed(name, pin=pin) for name, pin in pins.items()])
    assert world.print_all() == 3
    texts = [text_of(path) for path in world.letters()]
    for name, pin in pins.items():
        assert [f"PIN {pin}\n" in text for text in texts if f"{name}\n" in text] == [True]
    assert {path.stat().st_mode & 0o777 for path in world.letters()} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in world.letters()} == {0o700}
    assert world.rows("SELECT count(*) FROM pin_envelopes WHERE sealed IS NOT NULL") == [(0,)]


def test_chinese_address_is_on_the_letter(world: World) -> None:
    renewal = world.renewal()
    lines = ("香港九龍深水埗鴨寮街八十八號", "𨋢廠大廈十二樓乙室")
    world.apply(renewal.sealed(recipient_name="陳大文", address=lines))
    world.print_all()
    text = text_of(world.letters()[0])
    for line in ("陳大文", *lines):
        assert line in text


def test_printer_killed_between_file_and_row_writes_the_same_file_again(
    world: World, postgres: Postgres, mailing_database: Database, tmp_path: Path
) -> None:
    world.apply(world.renewal().sealed())
    die(world, "print", postgres.url(mailing_database.name, "mailing_print"), tmp_path)
    (letter,) = world.letters()
    before = letter.read_bytes()
    assert world.envelope_states() == ["printing"]
    world.pass_time(days=2)
    assert world.print_all() == 1
    assert world.letters() == [letter]
    assert letter.read_bytes() == before
    assert world.rows("SELECT file_sha256 FROM pin_envelopes") == [(hashlib.sha256(before).hexdigest(),)]


def test_half_written_file_is_overwritten(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed())
    folder = world.posting / "batch-000001"
    folder.mkdir(parents=True)
    (folder / f".{renewal.letter().envelope_id}.pdf.unfinished").write_bytes(b"%PDF half")
    world.print_all()
    assert [path.name for path in folder.iterdir()] == [f"{renewal.letter().envelope_id}.pdf"]


def test_second_letter_with_another_pin_for_a_server_name_is_held(world: World) -> None:
    renewal = world.renewal()
    first = renewal.letter()
    world.apply(sealed_event(first))
    world.apply(sealed_event(replace(first, pin="9999888877776666")))
    world.apply(renewal.sealed("a.example.hk"))
    assert world.held() == ["envelope-conflict", "gap"]
    assert world.print_all() == 1
    assert PIN in text_of(world.letters()[0])
    other = world.renewal().letter()
    world.apply(sealed_event(other))
    world.apply(sealed_event(replace(other, envelope_id=world.renewal().id)))
    assert world.held() == ["envelope-conflict", "gap", "envelope-conflict"]


def test_letter_that_cannot_be_decrypted_is_held_and_the_others_are_printed(world: World) -> None:
    renewal = world.renewal()
    stranger = seal(sealed_content(renewal.letter()), a_print_key("stranger")[1])
    world.apply(replace(renewal.sealed(), sealed=base64.b64encode(stranger).decode()))
    world.apply(replace(renewal.sealed("a.example.hk"), sealed=renewal.sealed("b.example.hk").sealed))
    world.apply(renewal.sealed("b.example.hk"))
    assert world.print_all() == 3
    assert world.envelope_states() == ["faulty", "printed", "faulty"]
    assert len(world.letters()) == 1


@pytest.mark.parametrize("name", ["陳\U00030000", "สมชาย", "CHAN 😀"])
def test_letter_that_cannot_be_typeset_is_held_and_its_batch_closes(world: World, name: str) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk", recipient_name=name))
    world.apply(renewal.sealed("c.example.hk"))
    assert world.print_all() == 3
    assert world.envelope_states() == ["printed", "faulty", "printed"]
    ((reason,),) = world.rows("SELECT reason FROM pin_envelopes WHERE state = 'faulty'")
    assert "no font has the character" in reason
    world.pass_time(minutes=2)
    assert world.close()
    assert world.rows("SELECT state FROM posting_batches") == [("closed",)]


def print_until_settled(world: World, names: int) -> list[str]:
    """Let the printer try, with time between the attempts. Returns what it raised."""
    raised: list[str] = []
    while {"sealed", "printing"} & {*world.envelope_states()}:
        assert len(raised) < 10 * names
        try:
            world.print_all()
        except (PrinterFailed, OSError) as error:
            raised.append("".join(traceback.format_exception(error)))
        world.pass_time(minutes=6)
    return raised


def test_letter_at_which_the_printer_fails_unexpectedly_is_held_and_the_others_are_printed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    typeset = Stationery.pdf

    def pdf(self: Stationery, letter: Letter, dated: date) -> bytes:
        if letter.server_name == "b.example.hk":
            raise KeyError(letter.pin)
        return typeset(self, letter, dated)

    monkeypatch.setattr(Stationery, "pdf", pdf)
    world.apply(*[world.renewal().sealed(name) for name in NAMES])
    raised = print_until_settled(world, len(NAMES))
    assert len(raised) == MAX_ATTEMPTS - 1
    assert PIN not in "".join(raised)
    assert world.envelope_states() == ["printed", "faulty", "printed"]
    ((reason,),) = world.rows("SELECT reason FROM pin_envelopes WHERE state = 'faulty'")
    assert re.fullmatch(r"the printer failed unexpectedly: KeyError at test_printing.py:\d+", reason)
    assert world.rows("SELECT count(*) FROM audit_log WHERE action = 'envelope-faulty'") == [(1,)]
    assert world.rows(envelope_store.FAULTY) == [(1,)]
    assert world.close()


def test_letter_at_which_the_printer_is_killed_each_time_is_held(
    world: World, postgres: Postgres, mailing_database: Database, tmp_path: Path
) -> None:
    world.apply(world.renewal().sealed())
    for _ in range(MAX_ATTEMPTS):
        die(world, "print", postgres.url(mailing_database.name, "mailing_print"), tmp_path)
        assert world.envelope_states() == ["printing"]
        world.letters()[0].unlink()
        world.pass_time(minutes=6)
    assert print_until_settled(world, 1) == []
    assert world.rows("SELECT state, reason FROM pin_envelopes") == [
        ("faulty", f"the printer ended at each of {MAX_ATTEMPTS} attempts, without an outcome")
    ]


def test_full_disk_holds_no_letter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    world.apply(world.renewal().sealed())
    with monkeypatch.context() as disk:
        disk.setattr(print_work, "write_atomically", full)
        for _ in range(2 * MAX_ATTEMPTS):
            with pytest.raises(OSError, match="No space"):
                world.print_all()
            world.pass_time(minutes=6)
    assert print_until_settled(world, 1) == []
    assert world.envelope_states() == ["printed"]


@pytest.mark.parametrize("sealed", ["", "no base64!", "===="])
def test_blob_that_is_no_base64_is_held(world: World, sealed: str) -> None:
    world.apply(replace(world.renewal().sealed(), sealed=sealed))
    assert world.held() == ["envelope-unusable"]


def test_letter_that_one_printer_has_just_claimed_is_not_claimed_by_another(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk"))
    world.print_all()
    world.rows("UPDATE pin_envelopes SET state = 'printing', sealed = '\\x00' RETURNING 1")
    world.pass_time(hours=1)
    claimed = []
    with world.print_pool.connection() as one, world.print_pool.connection() as two:
        for conn in (one, two, one):
            lease = timedelta(minutes=1)
            job = claim_due_envelope(conn, world.now, lease, world.now.date(), world.rule, uuid.uuid4())
            claimed.append(job and job.server_name)
    assert sorted(claimed[:2], key=str) == ["a.example.hk", "b.example.hk"]
    assert claimed[2] is None


def test_concurrent_printers_print_each_letter_once(world: World) -> None:
    renewals = [world.renewal() for _ in range(6)]
    world.apply(*[renewal.sealed(name) for renewal in renewals for name in NAMES])
    counts: list[int] = []
    printers = [threading.Thread(target=lambda: counts.append(world.print_all())) for _ in range(2)]
    for printer in printers:
        printer.start()
    for printer in printers:
        printer.join()
    assert sum(counts) == 18
    assert len(world.letters()) == 18
    assert world.rows("SELECT count(*) FROM audit_log WHERE action = 'envelope-printed'") == [(18,)]
    assert world.rows("SELECT count(*) FROM posting_batches") == [(1,)]


def test_batch_closes_when_it_is_full_and_the_next_letter_goes_into_another(world: World) -> None:
    world.rule = BatchRule(size=2, age=timedelta(days=1))
    renewal = world.renewal()
    world.apply(*[renewal.sealed(name) for name in NAMES])
    world.print_all()
    assert world.close()
    assert not world.close()
    assert sorted(path.name for path in world.posting.iterdir()) == ["batch-000001", "batch-000002"]
    assert [path.parent.name for path in world.posting.rglob("manifest.csv")] == ["batch-000001"]


def test_batch_closes_when_it_is_old_and_none_of_its_letters_is_at_the_printer(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk"))
    print_next(world.print_pool, world.printer(), clock=world.clock)
    assert not world.close()
    world.rows("UPDATE pin_envelopes SET state = 'sealed' WHERE state = 'sealed' RETURNING envelope_id")
    print_next(world.print_pool, world.printer(), clock=world.clock)
    world.rows(
        """UPDATE pin_envelopes SET state = 'printing', sealed = '\\x00', due_at = %s
           WHERE server_name = 'a.example.hk' RETURNING envelope_id""",
        world.now + timedelta(hours=1),
    )
    world.pass_time(minutes=2)
    assert not world.close()
    world.rows(
        "UPDATE pin_envelopes SET state = 'printed', sealed = NULL WHERE state = 'printing' RETURNING envelope_id"
    )
    assert world.close()


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT * FROM mails",
        "SELECT * FROM renewals",
        "SELECT * FROM outbox",
        "SELECT * FROM inbox",
        "SELECT * FROM parked_events",
        "SELECT * FROM audit_log",
        "SELECT registered_number FROM pin_envelopes",
        "UPDATE pin_envelopes SET registered_number = 'RA123456785HK'",
        "DELETE FROM pin_envelopes",
        "INSERT INTO outbox DEFAULT VALUES",
        "CREATE TABLE t (x INT)",
    ],
)
def test_print_role_can_access_only_envelopes_and_batches(world: World, forbidden: str) -> None:
    with world.print_pool.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(forbidden.encode())


def test_other_processes_do_not_import_the_decryption_of_letters() -> None:
    probe = "import sys, services.mailing.main; print(sum('print_key' in m or m == 'typst' for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_no_pin_is_in_any_table_manifest_or_mail(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.sealed())
    while world.send():
        pass
    dumps = [_dump(world)]
    world.print_all()
    world.pass_time(minutes=2)
    assert world.close()
    dumps.append(_dump(world))
    for dump in dumps:
        assert PIN not in dump
        assert PIN.encode().hex() not in dump
    (manifest,) = world.posting.rglob("manifest.csv")
    assert PIN.encode() not in manifest.read_bytes()
    assert not any(PIN.encode() in message for message in world.server.taken)


def _dump(world: World) -> str:
    tables = [row[0] for row in world.rows("SELECT relname FROM pg_stat_user_tables")]
    return "\n".join(str(world.rows(f"SELECT t::text FROM {table} AS t")) for table in tables)

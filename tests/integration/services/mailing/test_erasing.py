"""A letter's file holds a PIN: once the post has the letter the file is gone, and what was sent is still known."""

import shutil
import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pypdf
import pytest

from services.mailing import posting
from services.mailing.print_work import LEASE, erase_next
from services.mailing.refusals import PostingRefused
from tests.integration.services.mailing.test_posting import TODAY, filled, post, rows_of
from tests.integration.services.mailing.test_printing import die
from tests.integration.services.mailing.world import Renewal, World
from tests.support.engines import Database, Postgres
from tests.unit.services.mailing.letter import PIN
from tests.unit.services.mailing.test_registered_numbers import numbered


@pytest.fixture
def renewal(world: World) -> Renewal:
    """A renewal whose two letters are printed in one closed batch."""
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk"))
    world.print_all()
    world.pass_time(minutes=2)
    assert world.close()
    return renewal


def post_all(world: World) -> None:
    post(world, filled(rows_of(world), numbered(1), numbered(2)))


def erased(world: World) -> list[tuple[bool]]:
    return world.rows("SELECT (details->>'was_there')::bool FROM audit_log WHERE action = 'letter-erased' ORDER BY id")


def test_posted_letter_is_erased_at_once_and_its_manifest_stays(world: World, renewal: Renewal) -> None:
    (manifest,) = world.posting.rglob("manifest.csv")
    before = manifest.read_bytes()
    assert all(PIN in pypdf.PdfReader(path).pages[0].extract_text() for path in world.letters())
    bytes_of = [path.read_bytes() for path in world.letters()]
    assert world.erase_all() == 0, "not posted yet"
    post_all(world)
    assert world.erase_all() == 2
    assert [path.name for path in manifest.parent.iterdir()] == ["manifest.csv"]
    assert manifest.read_bytes() == before
    assert not any(content in file.read_bytes() for file in files_under(world.posting) for content in bytes_of)
    assert world.envelope_states() == ["posted", "posted"]
    assert erased(world) == [(True,), (True,)]
    assert world.rows("SELECT count(*) FROM pin_envelopes WHERE erased_at = %s", world.now) == [(2,)]
    assert world.erase_all() == 0


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("renewal")
def test_only_the_letters_with_a_number_are_erased(world: World) -> None:
    post(world, filled(rows_of(world), "", numbered(2)))
    assert world.erase_all() == 1
    assert [path.stem for path in world.letters()] == [rows_of(world)[0]["envelope_id"]]


@pytest.mark.usefixtures("renewal")
def test_posted_letters_are_kept_for_the_configured_time(world: World) -> None:
    world.kept = timedelta(days=7)
    post_all(world)
    world.pass_time(days=6)
    assert world.erase_all() == 0
    world.pass_time(days=1)
    assert world.erase_all() == 2
    assert world.letters() == []


def test_letter_can_be_returned_without_its_file(world: World, renewal: Renewal) -> None:
    post_all(world)
    assert world.erase_all() == 2
    with world.begin() as tx:
        assert posting.record_returned(tx, renewal.letter("a.example.hk").envelope_id, "moved", TODAY, actor="clerk")
    assert world.announced_types(renewal.id)[2:] == ["pin-envelope-returned"]
    world.apply(renewal.sealed("a.example.hk", envelope_id=uuid.uuid4(), pin="9999888877776666"))
    assert world.print_all() == 1
    assert len(world.letters()) == 1


def test_returned_letter_is_erased_too(world: World, renewal: Renewal) -> None:
    world.kept = timedelta(days=7)
    post_all(world)
    with world.begin() as tx:
        posting.record_returned(tx, renewal.letter("a.example.hk").envelope_id, "moved", TODAY, actor="clerk")
    world.pass_time(days=8)
    assert world.erase_all() == 2


@pytest.mark.usefixtures("renewal")
def test_printer_killed_between_file_and_row_finishes_after_its_lease(
    world: World, postgres: Postgres, mailing_database: Database, tmp_path: Path
) -> None:
    posted, other = (world.posting / "batch-000001" / row["file"] for row in rows_of(world))
    post(world, filled(rows_of(world), numbered(1)))
    other.unlink()  # the process is killed when no letter is left
    assert world.letters() == [posted]
    die(world, "erase", postgres.url(mailing_database.name, "mailing_print"), tmp_path)
    assert world.letters() == []
    assert world.rows("SELECT count(*) FROM pin_envelopes WHERE erasing_at IS NOT NULL AND erased_at IS NULL") == [(1,)]
    assert erased(world) == []
    assert world.erase_all() == 0, "its lease"
    world.now += LEASE
    assert world.erase_all() == 1
    assert erased(world) == [(False,)]


def test_recorded_but_unfinished_erasure_is_completed(world: World, renewal: Renewal) -> None:
    post_all(world)
    world.rows("UPDATE pin_envelopes SET erasing_at = %s RETURNING 1", world.now)
    world.now += LEASE
    assert world.erase_all() == 2
    assert world.letters() == []


@pytest.mark.usefixtures("renewal")
def test_half_written_file_is_erased_with_the_letter(world: World) -> None:
    (letter, _) = world.letters()
    half = letter.with_name(f".{letter.name}.unfinished")
    half.write_bytes(b"%PDF half")
    post_all(world)
    world.erase_all()
    assert not half.exists()


@pytest.mark.usefixtures("renewal")
def test_missing_folder_records_no_erasure(world: World, tmp_path: Path) -> None:
    """The volume is not mounted: the files may still exist."""
    post_all(world)
    shutil.move(world.posting, tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        erase_next(world.print_pool, world.printer(), clock=world.clock)
    assert erased(world) == []
    shutil.move(tmp_path / "elsewhere", world.posting)
    world.now += LEASE
    assert world.erase_all() == 2


@pytest.mark.usefixtures("renewal")
def test_concurrent_printers_erase_each_letter_once(world: World) -> None:
    post_all(world)
    counts: list[int] = []
    printers = [threading.Thread(target=lambda: counts.append(world.erase_all())) for _ in range(2)]
    for printer in printers:
        printer.start()
    for printer in printers:
        printer.join()
    assert sum(counts) == 2
    assert erased(world) == [(True,), (True,)]


def test_cancellation_removes_printed_letters_from_the_open_batch(world: World) -> None:
    ended, other = world.renewal(), world.renewal()
    world.apply(ended.csr_requested(), ended.sealed("a.example.hk"), other.sealed("b.example.hk"))
    world.print_all()
    world.apply(ended.cancelled())
    assert world.envelope_states() == ["dropped", "printed"]
    assert world.erase_all() == 1
    world.pass_time(minutes=2)
    assert world.close()
    assert [row["server_name"] for row in rows_of(world)] == ["b.example.hk"]
    assert len(world.letters()) == 1


def test_letters_of_a_closed_batch_stay(world: World, renewal: Renewal) -> None:
    world.apply(renewal.csr_requested())
    world.apply(renewal.cancelled())
    assert world.envelope_states() == ["printed", "printed"]
    post_all(world)
    assert world.erase_all() == 2


def test_letter_that_an_operator_withdraws_is_erased_and_cannot_be_posted(world: World, renewal: Renewal) -> None:
    envelope_id = renewal.letter("a.example.hk").envelope_id
    with world.begin() as tx:
        posting.record_withdrawn(tx, envelope_id, "spoiled in the printer", actor="clerk")
    assert world.erase_all() == 1
    with pytest.raises(PostingRefused, match=str(envelope_id)):
        post_all(world)
    with world.begin() as tx, pytest.raises(PostingRefused):
        posting.record_withdrawn(tx, envelope_id, "again", actor="clerk")
    assert world.rows("SELECT actor, details->>'reason' FROM audit_log WHERE action = 'envelope-withdrawn'") == [
        ("clerk", "spoiled in the printer")
    ]
    world.apply(renewal.sealed("a.example.hk", envelope_id=uuid.uuid4(), pin="9999888877776666"))
    assert world.held() == []

"""Records of the post: registered numbers from the manifest, and returned letters."""

import csv
import io
import uuid
from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.mailing import manifest, posting
from services.mailing.refusals import PostingRefused
from tests.integration.services.mailing.world import Renewal, World, sealed_event
from tests.support.waiting_locks import queue_up
from tests.unit.services.mailing.test_registered_numbers import numbered

TODAY = date(2026, 11, 23)


@pytest.fixture
def renewal(world: World) -> Renewal:
    """A renewal whose two letters are printed in one closed batch."""
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk", recipient_name="=cmd() 陳"), renewal.sealed("b.example.hk"))
    world.print_all()
    world.pass_time(minutes=2)
    assert world.close()
    return renewal


def rows_of(world: World) -> list[dict[str, str]]:
    (path,) = world.posting.rglob("manifest.csv")
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def filled(rows: list[dict[str, str]], *numbers: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for index, row in enumerate(rows):
        writer.writerow(row | {"registered_number": numbers[index] if index < len(numbers) else ""})
    return text.getvalue().encode()


def post(world: World, content: bytes, batch: str = "batch-000001") -> posting.Posted:
    with world.begin() as tx:
        return posting.record_posted(tx, batch, manifest.read(content), TODAY, actor="operator")


def test_manifest_lists_each_letter_with_an_empty_number(world: World, renewal: Renewal) -> None:
    rows = rows_of(world)
    assert [row["server_name"] for row in rows] == ["a.example.hk", "b.example.hk"]
    assert [row["registered_number"] for row in rows] == ["", ""]
    assert rows[0]["recipient"] == "'=cmd() 陳"
    assert {row["file"] for row in rows} == {path.name for path in world.letters()}
    assert {row["envelope_id"] for row in rows} == {
        str(renewal.letter(name).envelope_id) for name in ("a.example.hk", "b.example.hk")
    }


def test_numbers_filled_into_the_manifest_are_announced_once(world: World, renewal: Renewal) -> None:
    content = filled(rows_of(world), numbered(1), numbered(2))
    assert post(world, content) == posting.Posted(recorded=2, known=0, missing=0)
    assert post(world, content) == posting.Posted(recorded=0, known=2, missing=0)
    assert world.announced_types(renewal.id) == ["pin-envelope-posted", "pin-envelope-posted"]
    assert world.envelope_states() == ["posted", "posted"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_manifest_is_read_as_any_spreadsheet_saves_it(world: World, renewal: Renewal, encoding: str) -> None:
    content = filled(rows_of(world), numbered(1), numbered(2)).decode("utf-8-sig").encode(encoding)
    assert post(world, content) == posting.Posted(recorded=2, known=0, missing=0)


def test_manifest_filled_in_two_steps_records_each_letter_once(world: World, renewal: Renewal) -> None:
    rows = rows_of(world)
    assert post(world, filled(rows, numbered(1))) == posting.Posted(recorded=1, known=0, missing=1)
    assert post(world, filled(rows, numbered(1), numbered(2))) == posting.Posted(recorded=1, known=1, missing=0)
    assert len(world.announced(renewal.id)) == 2


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        (("RA123456784HK",), "line 2: not the number"),
        (("hello",), "line 2: not the number"),
        ((numbered(1), numbered(1)), "line 3"),
    ],
)
def test_manifest_with_one_wrong_number_records_nothing(
    world: World, renewal: Renewal, numbers: tuple[str, ...], why: str
) -> None:
    with pytest.raises(PostingRefused, match=why):
        post(world, filled(rows_of(world), *numbers))
    assert world.envelope_states() == ["printed", "printed"]
    assert world.announced(renewal.id) == []


def test_number_given_to_another_letter_before_is_refused_whole(world: World, renewal: Renewal) -> None:
    rows = rows_of(world)
    post(world, filled(rows, numbered(1)))
    with pytest.raises(PostingRefused, match="was posted as"):
        post(world, filled(rows, numbered(3), numbered(2)))
    with pytest.raises(PostingRefused, match="was given to another"):
        post(world, filled(rows, "", numbered(1)))
    assert world.envelope_states() == ["posted", "printed"]


@pytest.mark.usefixtures("renewal")
@pytest.mark.parametrize("batch", ["batch-000002", "batch-1", "1; DROP TABLE mails"])
def test_unknown_batch_is_refused(world: World, batch: str) -> None:
    with pytest.raises(PostingRefused):
        post(world, filled(rows_of(world), numbered(1)), batch)


@pytest.mark.usefixtures("renewal")
def test_envelope_of_another_batch_is_refused(world: World) -> None:
    rows = rows_of(world)
    rows[0]["envelope_id"] = str(uuid.uuid4())
    with pytest.raises(PostingRefused, match="not in batch-000001"):
        post(world, filled(rows, numbered(1)))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", b'envelope_id,registered_number\n"x'])
def test_file_that_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(PostingRefused):
        manifest.read(content)


def test_returned_letter_is_announced_once(world: World, renewal: Renewal) -> None:
    envelope_id = renewal.letter("a.example.hk").envelope_id
    with world.begin() as tx, pytest.raises(PostingRefused):
        posting.record_returned(tx, envelope_id, "unknown at address", TODAY, actor="operator")
    post(world, filled(rows_of(world), numbered(1), numbered(2)))
    with world.begin() as tx, pytest.raises(PostingRefused):
        posting.record_returned(tx, envelope_id, "too early", TODAY - timedelta(days=1), actor="operator")
    with world.begin() as tx:
        assert posting.record_returned(tx, envelope_id, "unknown at address", TODAY, actor="operator")
        assert not posting.record_returned(tx, envelope_id, "unknown at address", TODAY, actor="operator")
    assert world.announced_types(renewal.id)[2:] == ["pin-envelope-returned"]
    assert world.envelope_states() == ["returned", "posted"]


def test_new_letter_for_the_name_may_be_printed_after_a_return(world: World, renewal: Renewal) -> None:
    post(world, filled(rows_of(world), numbered(1), numbered(2)))
    with world.begin() as tx:
        posting.record_returned(tx, renewal.letter("a.example.hk").envelope_id, "moved away", TODAY, actor="operator")
    world.apply(renewal.sealed("a.example.hk", envelope_id=uuid.uuid4(), pin="9999888877776666"))
    assert world.held() == []
    assert world.print_all() == 1


@pytest.mark.parametrize("what", ["posted", "returned"])
def test_posting_and_replacement_of_a_letter_never_deadlock(world: World, renewal: Renewal, what: str) -> None:
    content = filled(rows_of(world), numbered(1), numbered(2))
    letter = renewal.letter("a.example.hk")
    if what == "returned":
        post(world, content)

    def clerk() -> None:
        if what == "posted":
            post(world, content)
            return
        with world.begin() as tx:
            posting.record_returned(tx, letter.envelope_id, "unclaimed", TODAY + timedelta(days=9), actor="clerk")

    def replaced() -> None:
        another = sealed_event(replace(letter, envelope_id=uuid.uuid4(), pin="4321 0987"))
        world.apply(replace(another, replaces=letter.envelope_id))

    raised = queue_up(world.pool, "SELECT 1 FROM renewals FOR UPDATE", replaced, clerk)
    assert raised == []
    assert world.held() == []

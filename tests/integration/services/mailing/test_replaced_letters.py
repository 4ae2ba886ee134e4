"""A letter whose PIN was voided gives way to the new one, wherever it is."""

import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from services.mailing import envelope_store, posting
from services.mailing.domain import Letter
from services.mailing.print_store import claim_due_envelope
from shared.events.issuance import PINEnvelopeSealed
from tests.integration.services.mailing.test_posting import TODAY, filled, post, rows_of
from tests.integration.services.mailing.test_printing import text_of
from tests.integration.services.mailing.world import World, sealed_event
from tests.unit.services.mailing.letter import PIN, a_print_key, seal, sealed_content
from tests.unit.services.mailing.test_registered_numbers import numbered

NEW_PIN = "9999888877776666"


def replacement(letter: Letter, pin: str = NEW_PIN) -> PINEnvelopeSealed:
    """Return the sealed letter that takes the place of this one."""
    return replace(sealed_event(replace(letter, envelope_id=uuid.uuid4(), pin=pin)), replaces=letter.envelope_id)


def take_to_the_printer(world: World) -> None:
    with world.print_pool.connection() as conn:
        lease = timedelta(minutes=5)
        assert claim_due_envelope(conn, world.now, lease, TODAY, world.rule, uuid.uuid4()) is not None


def close_the_batch(world: World) -> None:
    world.print_all()
    world.pass_time(minutes=2)
    assert world.close()


def put_in_the_post(world: World) -> None:
    close_the_batch(world)
    post(world, filled(rows_of(world), numbered(1)))


def bring_back(world: World) -> None:
    put_in_the_post(world)
    ((envelope_id,),) = world.rows("SELECT envelope_id FROM pin_envelopes")
    with world.begin() as tx:
        posting.record_returned(tx, envelope_id, "unclaimed", TODAY, actor="operator")


def print_it(world: World) -> None:
    assert world.print_all() == 1


STAGES: Mapping[str, tuple[Callable[[World], None], str]] = {
    "sealed": (lambda world: None, "dropped"),
    "at the printer": (take_to_the_printer, "printing"),
    "printed": (print_it, "dropped"),
    "in a closed batch": (close_the_batch, "printed"),
    "posted": (put_in_the_post, "posted"),
    "returned": (bring_back, "returned"),
}


@pytest.mark.parametrize(("bring", "then"), STAGES.values(), ids=STAGES)
def test_letter_is_replaced_in_every_state(world: World, bring: Callable[[World], None], then: str) -> None:
    renewal = world.renewal()
    old = renewal.letter()
    world.apply(sealed_event(old))
    bring(world)
    before = set(world.letters())
    event = replacement(old)
    world.apply(event)
    assert world.held() == []
    print_it(world)
    [new] = set(world.letters()) - before
    assert f"PIN {NEW_PIN}\n" in text_of(new)
    assert world.rows("SELECT state, replaced_by FROM pin_envelopes WHERE envelope_id = %s", old.envelope_id) == [
        (then, event.envelope_id)
    ]
    assert world.rows("SELECT details->'replaces' FROM audit_log WHERE action = 'envelope-received' ORDER BY id") == [
        (None,),
        ([str(old.envelope_id)],),
    ]


def test_unreadable_letter_is_replaced(world: World) -> None:
    renewal = world.renewal()
    old = renewal.letter()
    stranger = seal(sealed_content(old), a_print_key("stranger")[1])
    world.apply(replace(renewal.sealed(), sealed=base64.b64encode(stranger).decode()))
    print_it(world)
    assert world.envelope_states() == ["faulty"]
    world.apply(replacement(old))
    print_it(world)
    assert sorted(world.envelope_states()) == ["dropped", "printed"]
    assert world.rows("SELECT count(*) FROM pin_envelopes WHERE sealed IS NOT NULL") == [(0,)]


def test_replacement_may_be_replaced_and_redelivered(world: World) -> None:
    first = world.renewal().letter()
    second = replacement(first)
    third = replace(replacement(first, pin="1111222233334444"), replaces=second.envelope_id)
    world.apply(sealed_event(first))
    record = world.record(second)
    world.apply_records(record)
    world.apply_records(record)
    world.apply(third)
    assert world.held() == []
    print_it(world)
    assert world.rows("SELECT envelope_id FROM pin_envelopes WHERE state = 'printed'") == [(third.envelope_id,)]


def test_letters_of_other_server_names_stay(world: World) -> None:
    renewal = world.renewal()
    other = renewal.letter("a.example.hk")
    world.apply(renewal.sealed(), sealed_event(other), replacement(renewal.letter()))
    assert world.print_all() == 2
    assert [PIN in text_of(path) for path in world.letters()].count(True) == 1
    assert world.rows("SELECT state, replaced_by FROM pin_envelopes WHERE envelope_id = %s", other.envelope_id) == [
        ("printed", None)
    ]


def test_second_letter_without_replaces_is_held(world: World) -> None:
    letter = world.renewal().letter()
    world.apply(sealed_event(letter), replace(replacement(letter), replaces=None))
    assert world.held() == ["envelope-conflict"]


def test_no_new_letter_is_printed_for_a_renewal_that_ended(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed(), renewal.cancelled(), replacement(renewal.letter()))
    assert world.held() == []
    assert world.print_all() == 0
    assert world.envelope_states() == ["dropped", "dropped"]


def test_letter_that_was_replaced_in_its_batch_is_in_no_manifest_and_its_file_is_erased(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed())
    print_it(world)
    [old] = world.letters()
    world.apply(replacement(renewal.letter()))
    print_it(world)
    close_the_batch(world)
    assert [row["file"] == old.name for row in rows_of(world)] == [False]
    world.pass_time(days=60)
    assert world.erase_all() == 1
    assert old not in world.letters()


def test_returned_and_replaced_letter_is_no_open_work(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed())
    bring_back(world)
    with world.begin() as tx:
        assert [each.kind for each in envelope_store.find_waiting(tx.conn, world.now - timedelta(days=9))] == [
            "envelope-returned"
        ]
        world.apply(replacement(renewal.letter()))
        assert envelope_store.find_waiting(tx.conn, world.now - timedelta(days=9)) == []

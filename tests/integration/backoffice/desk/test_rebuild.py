"""The desk's database is fed by events alone: emptied and read again it is the same, or it stays as it was."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from backoffice.desk import rebuild
from backoffice.desk.rebuild import EventsMissing, Rebuilt
from shared.events.application import RenewalCancelled
from shared.messaging.inbox import Place
from shared.messaging.record import Record
from shared.operators import held_commands
from shared.tx import transaction
from tests.integration.backoffice.desk.world import Renewal, World, consumer

Batches = Iterator[Sequence[Record]]


@dataclass
class Topics:
    """Kafka's content: everything that the desk has ever received, by partition."""

    world: World
    records: list[Record] = field(default_factory=list)

    def hear(self, *records: Record) -> None:
        self.world.apply_records(*records)
        self.records += records

    def read(self) -> Batches:
        """Return the records by partition, as a reader from the beginning gets them: in another order."""
        ordered = sorted(self.records, key=lambda record: (record.partition, record.topic, record.offset))
        for begin in range(0, len(ordered), 7):
            yield ordered[begin : begin + 7]

    def rebuild(self, read: Callable[[], Batches] | None = None) -> Rebuilt:
        applier = consumer(self.world.publication)
        return rebuild.rebuild(self.world.pool, applier, read or self.read, actor="test")

    def state(self) -> str:
        with self.world.pool.connection() as conn:
            return rebuild.state(conn)


@pytest.fixture
def topics(world: World) -> Topics:
    """One renewal that is under way, one cancelled, one with a forged event that was skipped."""
    made, publish = Topics(world), world.publisher.record
    for _ in range(5):
        under_way = Renewal()
        made.hear(*map(publish, under_way.asked()))
        made.hear(publish(under_way.csr()), publish(under_way.issued()), publish(under_way.posted(1)))
    ended = Renewal()
    made.hear(publish(ended.submitted()))
    cancelled = RenewalCancelled(renewal_id=ended.id, reason="cancelled", document=None, attestation=None)
    made.hear(publish(cancelled))
    attacked = Renewal()
    made.hear(*map(publish, [*attacked.asked(), attacked.csr()]))
    made.hear(publish(attacked.issued(), sign="stranger"), publish(attacked.csr(1)))
    skip(world, attacked)
    assert world.held() == []
    return made


def skip(world: World, renewal: Renewal) -> None:
    applier = consumer(world.publication)
    place = Place(consumer="desk", topic="issuance.events", key=str(renewal.id))
    with transaction(world.pool, clock=applier.clock) as tx:
        held_commands.skip(tx, applier, place, actor="two persons", reason="forged")


def test_rebuild_gives_the_same_projection(world: World, topics: Topics) -> None:
    found = topics.rebuild()
    assert found.before == found.after == topics.state()
    assert (found.events, found.renewals, found.kept, found.skipped) == (len(topics.records), 7, 0, 1)
    assert world.held() == []
    details = world.rows("SELECT actor, details->>'after' FROM audit_log WHERE action = 'rebuilt'")
    assert details == [("test", found.after)]


def test_projection_hash_covers_every_table(world: World, topics: Topics) -> None:
    seen = {topics.state()}
    for change in (
        "UPDATE items SET serial = 'ff' WHERE item_id = (SELECT min(item_id::text)::uuid FROM items)",
        "UPDATE recipients SET address = '{}' WHERE renewal_id = (SELECT min(renewal_id::text)::uuid FROM recipients)",
        "DELETE FROM steps WHERE sequence = 2",
        "DELETE FROM item_names",
        "UPDATE envelopes SET reason = 'x'",
        "UPDATE renewals SET ending = 'x'",
        "UPDATE inbox SET last_sequence = last_sequence + 1",
    ):
        with world.pool.connection() as conn:
            conn.execute(change.encode())
        seen.add(topics.state())
    assert len(seen) == 8


def test_rebuild_removes_manual_changes(world: World, topics: Topics) -> None:
    right = topics.state()
    with world.pool.connection() as conn:
        conn.execute("UPDATE renewals SET subscriber = 'somebody else'")
        conn.execute("DELETE FROM envelopes")
        conn.execute("DELETE FROM steps WHERE topic = 'payment.events'")
    found = topics.rebuild()
    assert found.before != right
    assert found.after == right == topics.state()


def test_rebuild_skips_events_that_were_skipped(world: World, topics: Topics) -> None:
    assert [topics.rebuild().skipped for _ in range(2)] == [1, 1]
    rows = world.rows("SELECT subject, details->>'reason' FROM audit_log WHERE action = 'event-skipped' ORDER BY id")
    assert [reason for _, reason in rows] == ["forged", *["left out again: forged"] * 2]
    page = world.client("mok-sze-wan").get(f"/renewals/{rows[0][0]}").text
    assert (page.count("was skipped"), "again" in page) == (1, False)


def test_rebuild_does_not_skip_another_event_at_a_skipped_place(world: World, topics: Topics) -> None:
    """A cluster was replaced, and its offsets count other events: nobody decided on this one."""
    right, forged = topics.state(), topics.records[-2]
    headers = tuple((name, str(uuid.uuid4()).encode() if name == "ce_id" else value) for name, value in forged.headers)
    topics.records[-2] = replace(forged, headers=headers)
    with pytest.raises(EventsMissing):
        topics.rebuild()
    assert topics.state() == right


def test_rebuild_keeps_renewals_whose_first_events_have_expired(world: World, topics: Topics) -> None:
    right, oldest = topics.state(), topics.records[0].key
    forgotten = [each for each in topics.records if each.key == oldest][:3]
    topics.records = [each for each in topics.records if each not in forgotten]
    found = topics.rebuild()
    assert (found.kept, found.renewals, found.after) == (1, 6, right)
    assert world.held() == []


@pytest.mark.parametrize("which", [0, 1, 2])
def test_rebuild_with_missing_events_changes_nothing(world: World, topics: Topics, which: int) -> None:
    """An event in the middle, or a topic's last one, is gone: a rebuild would lose data."""
    right, audited = topics.state(), world.rows("SELECT count(*) FROM audit_log")
    of_feed = [each for each in topics.records if each.topic == "issuance.events" and each.key == topics.records[0].key]
    topics.records.remove(of_feed[1:][which])
    with pytest.raises(EventsMissing, match="lack events of 1 renewals"):
        topics.rebuild()
    assert topics.state() == right
    assert world.rows("SELECT count(*) FROM audit_log") == audited


def test_rebuild_with_kafka_unavailable_changes_nothing(world: World, topics: Topics) -> None:
    right, reads = topics.state(), []

    def breaking() -> Batches:
        reads.append(1)
        for number, batch in enumerate(topics.read()):
            if len(reads) == 2 and number == 3:
                raise OSError("the broker is gone")
            yield batch

    with pytest.raises(OSError, match="the broker is gone"):
        topics.rebuild(breaking)
    assert topics.state() == right


def test_rebuild_blocks_the_consumer_and_no_reader(world: World, topics: Topics) -> None:
    late = Renewal()
    news = [*map(world.publisher.record, late.asked())]
    arriving = threading.Thread(target=lambda: world.apply_records(*news))
    listed: list[str] = []

    def slow() -> Batches:
        yield from topics.read()
        if arriving.ident is None:
            arriving.start()
        else:
            time.sleep(0.3)  # the delivery must be waiting for the lock
            assert arriving.is_alive()
            listed.append(world.client("mok-sze-wan").get("/certificates/issued").text)

    found = topics.rebuild(slow)
    arriving.join(20)
    assert found.before == found.after
    assert listed[0].count("E-AAAAAAAAAA") == 5
    topics.records += news
    again = topics.rebuild()
    assert again.before == again.after != found.after
    assert again.renewals == found.renewals + 1


def test_rebuild_holds_held_events_once(world: World, topics: Topics) -> None:
    late = Renewal()
    opened, _, waits = map(world.publisher.record, (late.opened(0), late.csr(0), late.opened(1)))
    unreadable = Record(topic="payment.events", partition=3, offset=99, key=b"x", headers=(), value=b"{")
    topics.hear(opened, waits, unreadable)
    assert sorted(world.held()) == ["gap", "no-sequence"]
    found = topics.rebuild()
    assert sorted(world.held()) == ["gap", "no-sequence"]
    assert found.before == found.after

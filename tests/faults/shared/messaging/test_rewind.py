"""A reader's database restored to an earlier moment: its consumer applies the lost events again, and no others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from shared.db import Pool
from tests.faults.shared.kit import READER, announce, applied, held_event, new_keys, running_relay, wait_for_inbox
from tests.faults.shared.started import environment, seconds_to_end, started
from tests.support.engines import Database, Kafka


def forget(database: Database, sequence: int) -> None:
    """Restore each key's inbox, and what its handler wrote, of an earlier moment."""
    with psycopg.connect(database.superuser_url) as conn:
        conn.execute("UPDATE inbox SET last_sequence = %s, last_event_id = NULL", (sequence,))
        conn.execute("DELETE FROM audit_log WHERE actor = 'reader' AND action = 'later'")


def test_offset_reset_applies_lost_events_and_skips_the_others(
    topic: Kafka, writer: Pool, reader_database: Database, reader: Pool, tmp_path: Path
) -> None:
    keys, env, said = new_keys(12), environment(topic, reader_database), tmp_path / "said"

    def reset_offsets(to: datetime) -> tuple[int, str]:
        with started("reader", "rewind", "--to", to.isoformat(), "--actor", "test", env=env, log=said) as process:
            return process.wait(60), said.read_text()

    with running_relay(topic, writer):
        with started("reader", "consume", env=env) as consumer:
            announce(writer, keys)
            wait_for_inbox(reader, keys, 1)
            restored = datetime.now(UTC)
            announce(writer, keys, each=2, reason="later")
            wait_for_inbox(reader, keys, 3)
            status, text = reset_offsets(restored)
            assert (status, text.splitlines()[-1]) == (1, "group-has-members: stop all consumers of the group first")
            seconds_to_end(consumer)
        status, text = reset_offsets(datetime.now(UTC) + timedelta(hours=1))
        assert (status, text) == (0, "0 partitions are read again\n"), "never forward"
        forget(reader_database, 1)
        status, text = reset_offsets(restored)
        assert status == 0, text
        assert int(text.split()[0]) > 0
        with started("reader", "consume", env=env) as consumer:
            wait_for_inbox(reader, keys, 3)
            seconds_to_end(consumer)
    assert applied(reader) == dict.fromkeys(map(str, keys), 3)
    assert held_event(reader) == 0
    with reader.connection() as conn:
        rows = conn.execute("SELECT actor, subject FROM audit_log WHERE action = 'consumer-rewound'").fetchall()
    assert rows == [("test", READER)] * 2

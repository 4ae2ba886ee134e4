"""What one renewal costs the engines: commits, bytes of WAL, SQL round trips, Kafka records."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from kafka import KafkaConsumer, TopicPartition

from deploy.local import kafka as local_kafka
from deploy.local import postgres as local_postgres
from deploy.local.installation import Installation
from deploy.local.topics import PARTITIONS
from shared.db import Conn
from shared.events.base import Topic

_STATEMENTS: Final = "shared_preload_libraries = 'pg_stat_statements'\n"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Totals over some time. A commit counts if it wrote; idle loops look and write nothing."""

    commits: int
    wal_bytes: int
    kafka_records: int
    round_trips: int | None


@dataclass(kw_only=True)
class Meter:
    """Counts between `start` and `stop`. Round trips only where `prepare` was called before the first start."""

    installation: Installation
    _wal: str = ""
    _records: int = 0
    _calls: Mapping[tuple[int, int], int] | None = None
    _begun: float = 0.0
    _idle: Mapping[tuple[int, int], float] | None = None

    def prepare(self) -> None:
        """Have PostgreSQL count statements; before it runs for the first time."""
        local_postgres.create(self.installation.cluster)
        with (self.installation.cluster.data / "postgresql.conf").open("a") as file:
            file.write(_STATEMENTS)

    def watch_idle(self, seconds: float) -> None:
        """Learn how often each statement runs while nobody renews anything."""
        with self._postgres() as conn:
            before = _calls(conn)
            time.sleep(seconds)
            after = _calls(conn)
        self._idle = {which: (count - before.get(which, 0)) / seconds for which, count in after.items()}

    def start(self) -> None:
        """From now on."""
        self._records = self._kafka_records()
        with self._postgres() as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
            # Or each page's first change would be logged with the whole page, in one run and not in the next.
            conn.execute("CHECKPOINT")
            self._wal = _scalar(conn, "SELECT pg_current_wal_lsn()::text")
            self._calls = _calls(conn) if self._idle is not None else None
        self._begun = time.monotonic()

    def stop(self) -> Counts:
        """Until now."""
        seconds = time.monotonic() - self._begun
        with self._postgres() as conn:
            end = _scalar(conn, "SELECT pg_current_wal_lsn()::text")
            rows = conn.execute(
                """SELECT sum(count) FILTER (WHERE "resource_manager/record_type" = 'Transaction/COMMIT'),
                          sum(combined_size) - sum(fpi_size)
                   FROM pg_get_wal_stats(%s, %s, per_record => true)""",
                (self._wal, end),
            ).fetchone()
            trips = self._round_trips(conn, seconds)
        assert rows is not None
        return Counts(
            commits=int(rows[0] or 0),
            wal_bytes=int(rows[1]),
            kafka_records=self._kafka_records() - self._records,
            round_trips=trips,
        )

    def _round_trips(self, conn: Conn, seconds: float) -> int | None:
        if self._calls is None or self._idle is None:
            return None
        now = _calls(conn)
        return round(
            sum(
                max(0.0, count - self._calls.get(which, 0) - self._idle.get(which, 0.0) * seconds)
                for which, count in now.items()
            )
        )

    def _kafka_records(self) -> int:
        installation = self.installation
        login = local_kafka.client_settings(
            installation.broker.address, local_kafka.ADMIN, installation.passwords["kafka/admin"]
        )
        partitions = [TopicPartition(topic.value, number) for topic in Topic for number in range(PARTITIONS)]
        with contextlib.closing(KafkaConsumer(**login, group_id=None)) as reader:
            return sum(reader.end_offsets(partitions).values())

    @contextlib.contextmanager
    def _postgres(self) -> Iterator[Conn]:
        with psycopg.connect(self.installation.cluster.url("postgres"), autocommit=True) as conn:
            yield conn


def _calls(conn: Conn) -> dict[tuple[int, int], int]:
    """How often each statement of the services ran, by database and statement."""
    conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    rows = conn.execute(
        """SELECT s.dbid::bigint, s.queryid, sum(s.calls)::bigint
           FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
           WHERE d.datname <> 'postgres' GROUP BY 1, 2"""
    ).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def _scalar(conn: Conn, query: str) -> str:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])

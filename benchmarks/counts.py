"""Cost of one renewal at the engines: commits, bytes of WAL, SQL round trips, Kafka records."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from kafka import KafkaConsumer, TopicPartition

from deploy.kafka.topics import PARTITIONS
from deploy.local import kafka as local_kafka
from deploy.local.installation import Installation
from deploy.local.waiting import wait_until
from shared.db import Conn
from shared.events.base import Topic

# Prefix of each log line: user, connection, transaction, and the transaction's number if it has written.
_SETTINGS: Final = {
    "log_statement": "'all'",
    "log_line_prefix": "'@%a@%p@%v@%x@'",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # Its writes would be counted as the renewal's.
    "autovacuum": "off",
}
_LINE: Final = re.compile(r"@([a-z]+)-([a-z]+)@(\d+)@([^@]+)@(\d+)@LOG:  (?:statement|execute [^:]*): (.?)")


Process = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Totals over a period, without idle polls of loops: their commits and round trips count if they wrote.

    `round_trips` is by service and process; reads of web processes are counted separately, as `look_ups`.
    """

    commits: int
    wal_bytes: int
    kafka_records: int
    round_trips: Mapping[Process, int]
    look_ups: Mapping[Process, int]


@dataclass(kw_only=True)
class Meter:
    """Meter of engine operations between `start` and `stop`."""

    installation: Installation
    _wal: str = ""
    _records: int = 0
    _log: "tuple[int, int]" = (0, 0)

    @property
    def _file(self) -> Path:
        return self.installation.logs / "postgres.log"

    def start(self) -> None:
        """Start the measurement."""
        self._records = self._kafka_records()
        with self._postgres() as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
            self._log_statements(conn)
            status = self._file.stat()
            self._log = status.st_ino, status.st_size
            # Else the first change of each page would log the whole page, in one run but not in the next.
            conn.execute("CHECKPOINT")
            self._wal = _scalar(conn, "SELECT pg_current_wal_lsn()::text")

    def stop(self) -> Counts:
        """Return the totals since `start`."""
        with self._postgres() as conn:
            end = _scalar(conn, "SELECT pg_current_wal_lsn()::text")
            rows = conn.execute(
                """SELECT sum(count) FILTER (WHERE "resource_manager/record_type" = 'Transaction/COMMIT'),
                          sum(combined_size) - sum(fpi_size)
                   FROM pg_get_wal_stats(%s, %s, per_record => true)""",
                (self._wal, end),
            ).fetchone()
            for name in _SETTINGS:
                conn.execute(f"ALTER SYSTEM RESET {name}".encode())
            conn.execute("SELECT pg_reload_conf()")
        assert rows is not None
        wrote, read = _statements(self._logged())
        return Counts(
            commits=int(rows[0] or 0),
            wal_bytes=int(rows[1]),
            kafka_records=self._kafka_records() - self._records,
            round_trips=wrote,
            look_ups=read,
        )

    def _log_statements(self, conn: Conn) -> None:
        for name, value in _SETTINGS.items():
            conn.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        conn.execute("SELECT pg_reload_conf()")
        seen = self._file.stat().st_size
        # Every loop polls at least every quarter of a second, which is logged from then on.
        wait_until(lambda: self._file.stat().st_size > seen, limit=10, what="PostgreSQL logs every statement")

    def _logged(self) -> Iterator[str]:
        """Yield PostgreSQL's log since `start`; supervisord starts a new file when one is full."""
        inode, offset = self._log
        files = [self._file.with_suffix(".log.1"), self._file]
        if self._file.stat().st_ino == inode:
            del files[0]
        for file in files:
            with file.open(encoding="utf-8", errors="replace") as lines:
                lines.seek(offset)
                yield from lines
            offset = 0

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


def _statements(lines: Iterable[str]) -> "tuple[Counter[Process], Counter[Process]]":
    """Return statements by process: those of transactions that wrote, and those of web processes that only read.

    An empty statement is the pool's check of a connection; it counts with the transaction that follows.
    """
    looks, statements, wrote = Counter[str](), Counter[tuple[Process, str]](), set[tuple[Process, str]]()
    for line in lines:
        if match := _LINE.match(line):
            service, process, connection, transaction, number, first_letter = match.groups()
            if not first_letter:
                looks[connection] += 1
                continue
            which = (service, process), transaction
            statements[which] += 1 + looks.pop(connection, 0)
            if number != "0":
                wrote.add(which)
    written, read = Counter[Process](), Counter[Process]()
    for which, number_of in statements.items():
        if which in wrote:
            written[which[0]] += number_of
        elif which[0][1] == "web":
            read[which[0]] += number_of
    return written, read


def _scalar(conn: Conn, query: str) -> str:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])

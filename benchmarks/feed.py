"""Benchmark of the feed: reading all of it over HTTP, and the latency of an event over HTTP and Kafka."""

import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from backoffice.kit.client import FeedClient
from benchmarks.figures import Figure, latencies
from benchmarks.latency import RATES
from benchmarks.loops import first_poll, life, started
from conformance.feed_fixture import PER_RENEWAL, READER, Practice, load_feed, made_up, running
from shared import db
from shared.events.base import Topic
from shared.events.issuance import IssuanceWithheld
from shared.messaging import codec, kafka_clients, outbox, relay
from shared.settings import KafkaSettings
from shared.tx import transaction
from shared.vocabulary import RenewalId
from shared.web.https_client import Endpoint

GROUP: Final = "the feed over HTTP, through the gateway"
_PAGE: Final = 1000


def measure(*, events: int, seconds: float) -> list[Figure]:
    """Measure on engines of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-benchmark-"))
    try:
        folder.chmod(0o755)
        with running(folder, throw_away=False) as practice:
            return [*_to_the_end(practice, events), *_at_the_head(practice, seconds)]
    finally:
        shutil.rmtree(folder)


def _to_the_end(practice: Practice, events: int) -> list[Figure]:
    _fill(practice, events)
    stamped = _seconds(practice.stamp)
    with _client(practice) as client:
        began = _resident(practice.feed_process)
        read = _seconds(lambda: _read(client, events))
    memory = _resident(practice.feed_process)
    follow = [sys.executable, "-m", "backoffice", "follow", "--http", "--json", "--until-head"]
    told = practice.environment("benchmark", practice.folder)
    followed = _seconds(lambda: subprocess.run(follow, env=told, check=True, stdout=subprocess.DEVNULL))
    return [
        Figure(group=GROUP, name=f"{events:,} events read to the end", value=read, unit="s"),
        Figure(group=GROUP, name="the same by the consumer kit: verified and booked", value=followed, unit="s"),
        Figure(group=GROUP, name="memory of the feed's process before", value=began, unit="MiB"),
        Figure(group=GROUP, name="memory of the feed's process at most", value=memory, unit="MiB"),
        Figure(group=GROUP, name="stamped and signed before, by the relay", value=events / stamped, unit="/s"),
    ]


def _fill(practice: Practice, events: int) -> None:
    """Insert rows as issuance would, but faster, all of them marked as sent."""
    now = datetime.now(UTC)
    columns = "event_id, topic, key, sequence, type, source, time, data, dataschema, sent_at"
    with practice.pool.connection() as conn, conn.cursor().copy(f"COPY outbox ({columns}) FROM STDIN") as copy:
        for number in range(events // PER_RENEWAL):
            for sequence, event in enumerate(made_up(number), 1):
                about = (uuid.uuid4(), event.TOPIC, str(event.subject), sequence, event.TYPE, "/issuance", now)
                copy.write_row((*about, codec.encode_data(event), codec.schema_name(event.TYPE), now))


def _read(client: FeedClient, events: int) -> None:
    read = 0
    while page := client.page(read, limit=_PAGE).events:
        read += len(page)
    if read != events:
        raise RuntimeError(f"{read} of {events} events came")


def _resident(process: int) -> float:
    """Return the peak memory of a process and its children, in MiB."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    status = [Path(f"/proc/{each}/status").read_text() for each in (str(process), *children)]
    return sum(int(text.split("VmHWM:")[1].split()[0]) for text in status) / 1024


def _at_the_head(practice: Practice, seconds: float) -> list[Figure]:
    """Return the latency of the same commits for a waiting HTTP reader and for a reader of the topic."""
    figures: list[Figure] = []
    access, head = _access(practice), practice.head
    relayed = (practice.cluster.url("issuance", "issuance", practice.cluster.password), practice.kafka("issuance"))
    with (
        started(_relaying, *relayed, practice.folder),
        started(_polling, access, head) as over_http,
        started(_reading, practice.kafka(READER)) as over_kafka,
    ):
        for name, rate in RATES.items():
            http, kafka = _paced(practice, (over_http, over_kafka), rate=rate, seconds=seconds)
            figures += latencies(GROUP, f"{name}: commit → long poll's answer", http)
            figures += latencies(GROUP, f"{name}: commit → Kafka consumer", kafka)
    return figures


def _paced(
    practice: Practice, reports: tuple[Connection, Connection], *, rate: int, seconds: float
) -> Iterator[list[float]]:
    """Announce events at this rate. Yields the latency from commit to each reader, in seconds."""
    sent: dict[str, float] = {}
    came: dict[Connection, dict[str, float]] = {report: {} for report in reports}
    begun = time.monotonic()
    # At even intervals they would synchronise with the relay's polls.
    chance = random.Random(1)  # noqa: S311 (no secret)
    for number in range(int(rate * seconds)):
        _take_until(begun + (number + chance.random()) / rate, came)
        subject = RenewalId(uuid.uuid4())
        with transaction(practice.pool) as tx:
            outbox.add(tx, IssuanceWithheld(renewal_id=subject))
        sent[str(subject)] = time.monotonic()
    limit = time.monotonic() + 60
    while any(sent.keys() - each.keys() for each in came.values()):
        if time.monotonic() > limit:
            raise TimeoutError("not every event came")
        _take_until(time.monotonic() + 0.1, came)
    return ([max(0.0, came[report][subject] - at) for subject, at in sent.items()] for report in reports)


def _take_until(moment: float, came: dict[Connection, dict[str, float]]) -> None:
    """Read reports continuously: a full pipe would block its writer."""
    while wait([*came], max(0.0, moment - time.monotonic())):
        for report, seen in came.items():
            while report.poll():
                subject, at = report.recv()
                seen[subject] = at


def _relaying(report: Connection, database: str, settings: KafkaSettings, folder: Path) -> None:
    """Run issuance's relay."""
    stop = life()
    with db.open_pool(database, name="relay") as pool:
        report.send("ready")
        relay.run(pool, lambda: kafka_clients.make_producer(settings, "benchmark"), stop, feed=load_feed(folder))


def _polling(report: Connection, access: Endpoint, position: int) -> None:
    """Run a reader at the head."""
    stop = life()
    client = FeedClient(access)
    report.send("ready")
    while not stop.is_set():
        events = client.page(position, limit=_PAGE, wait=1).events
        now = time.monotonic()
        for event in events:
            report.send((event.subject, now))
        position += len(events)


def _reading(report: Connection, settings: KafkaSettings) -> None:
    """Run a plain reader of the topic."""
    stop = life()
    client = kafka_clients.make_consumer(settings, "benchmark", group=f"{READER}.benchmark", topics=[Topic.ISSUANCE])
    first_poll(client)
    report.send("ready")
    while not stop.is_set():
        for records in client.poll(timeout_ms=250).values():
            now = time.monotonic()
            for record in records:
                report.send((record.key.decode(), now))
    client.close(timeout_ms=1000)


def _access(practice: Practice) -> Endpoint:
    told = practice.environment("benchmark", practice.folder)
    return Endpoint(
        url=told["FEED_URL"],
        certificate=Path(told["FEED_CLIENT_CERTIFICATE_FILE"]),
        key=Path(told["FEED_CLIENT_KEY_FILE"]),
        ca_file=Path(told["FEED_CA_FILE"]),
        address=("127.0.0.1", practice.port),
    )


@contextmanager
def _client(practice: Practice) -> Iterator[FeedClient]:
    client = FeedClient(_access(practice))
    try:
        yield client
    finally:
        client.close()


def _seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun

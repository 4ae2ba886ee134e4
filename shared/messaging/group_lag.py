"""Unread records of a consumer group over all its partitions, whether a member reads them or none."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kafka import KafkaAdminClient, TopicPartition
from prometheus_client import Gauge

from shared.lifecycle import StopSignal
from shared.messaging import kafka_clients

INTERVAL_SECONDS: Final = 15.0

LAG: Final = Gauge("consumer_group_lag_records", "Records of all partitions not committed by the consumer group")
STALLED: Final = Gauge(
    "consumer_group_stalled_seconds",
    "Longest time a partition has had records without a commit of the group, 0 if none",
)


class Watch:
    """Offsets of the last check: a partition with unread records is stalled since its present commit was first seen."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[TopicPartition, tuple[int, float]] = {}

    def note(self, progress: Mapping[TopicPartition, tuple[int, int]]) -> None:
        """Set the gauges from the committed offset and the end of each partition."""
        now = self._now()
        for partition, (committed, end) in progress.items():
            seen = self._seen.get(partition)
            if seen is None or seen[0] != committed or committed == end:
                self._seen[partition] = committed, now
        LAG.set(sum(end - committed for committed, end in progress.values()))
        STALLED.set(max((now - self._seen[partition][1] for partition in progress), default=0.0))


def start(make_admin: Callable[[], KafkaAdminClient], group: str, topics: Sequence[str], stop: StopSignal) -> None:
    """Watch in a separate thread: the consumer's loop may be blocked."""
    threading.Thread(target=watch, args=(make_admin, group, topics, stop), name="unread", daemon=True).start()


def watch(
    make_admin: Callable[[], KafkaAdminClient],
    group: str,
    topics: Sequence[str],
    stop: StopSignal,
    *,
    every: float = INTERVAL_SECONDS,
) -> None:
    """Update the gauges periodically until stopped."""
    noted = Watch()
    kafka_clients.keep_looking(
        make_admin, lambda admin: noted.note(kafka_clients.progress(admin, group, topics)), stop, every=every
    )

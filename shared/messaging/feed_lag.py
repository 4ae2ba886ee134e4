"""Consumer-group lag of feed readers, exported by the relay as a gauge per principal and group."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from prometheus_client import Gauge

from shared.events.base import Topic
from shared.lifecycle import StopSignal
from shared.messaging import kafka_clients

log = structlog.get_logger()

INTERVAL_SECONDS: Final = 15.0
# Limits time series: a reader names its groups freely.
MAX_GROUPS: Final = 200
LAG: Final = Gauge(
    "feed_reader_lag_records", "Feed records not committed by a reader's consumer group", ["reader", "group"]
)


def start(make_admin: Callable[[], KafkaAdminClient], topic: Topic, stop: StopSignal) -> None:
    """Watch in a separate thread, which blocks nothing."""
    threading.Thread(target=watch, args=(make_admin, topic, stop), name="lag", daemon=True).start()


def watch(
    make_admin: Callable[[], KafkaAdminClient], topic: Topic, stop: StopSignal, *, every: float = INTERVAL_SECONDS
) -> None:
    """Update the gauge periodically until stopped. Kafka may be unavailable at any time."""
    kafka_clients.keep_looking(make_admin, lambda admin: look(admin, topic), stop, every=every)


def look(admin: KafkaAdminClient, topic: Topic) -> None:
    """Set the gauge for every consumer group of readers, and remove it for groups that no longer exist.

    The names of a reader's groups begin with its name and a dot.
    """
    groups = sorted(group for each in admin.list_groups() if "." in (group := each["group_id"]))
    if len(groups) > MAX_GROUPS:
        log.warning("lag.too_many_groups", groups=len(groups))
        del groups[MAX_GROUPS:]
    lags = _lags(admin, topic, groups) if groups else {}
    LAG.clear()
    for group, lag in lags.items():
        LAG.labels(group.partition(".")[0], group).set(lag)


def _lags(admin: KafkaAdminClient, topic: Topic, groups: Sequence[str]) -> dict[str, int]:
    (described,) = admin.describe_topics([topic.value])
    partitions = [TopicPartition(topic.value, each["partition_index"]) for each in described["partitions"]]
    begins, ends = (
        {partition: found.offset for partition, found in admin.list_partition_offsets(wanted).items()}
        for wanted in (dict.fromkeys(partitions, spec) for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
    )

    def lag(committed: Mapping[Any, Any]) -> int:
        """Return the number of records after the committed offset, or after the partition's beginning."""
        read = {each: committed[each].offset if each in committed else 0 for each in partitions}
        return sum(ends[each] - min(ends[each], max(begins[each], read[each])) for each in partitions)

    return {group: lag(committed) for group, committed in admin.list_group_offsets(groups).items()}

"""Gauges of partitions that nobody commits."""

from kafka import TopicPartition
from prometheus_client import REGISTRY

from shared.messaging.group_lag import Watch

A, B = TopicPartition("payment.events", 0), TopicPartition("payment.events", 1)


def figures() -> tuple[float | None, float | None]:
    names = ("consumer_group_lag_records", "consumer_group_stalled_seconds")
    return REGISTRY.get_sample_value(names[0]), REGISTRY.get_sample_value(names[1])


def test_uncommitted_partition_stalls_while_others_continue() -> None:
    now = [0.0]
    watch = Watch(lambda: now[0])
    course = [
        # A second later each: commits and ends of two partitions; the lag, and the seconds of the slowest.
        ({A: (5, 5), B: (7, 7)}, (0, 0)),
        ({A: (5, 8), B: (7, 9)}, (5, 1)),
        ({A: (8, 8), B: (7, 10)}, (3, 2)),
        ({A: (8, 8), B: (7, 10)}, (3, 3)),
        ({A: (8, 9), B: (8, 10)}, (3, 1)),
        ({A: (9, 9), B: (10, 10)}, (0, 0)),
    ]
    for progress, expected in course:
        watch.note(progress)
        assert figures() == expected
        now[0] += 1

"""The feed's lag watcher while Kafka is unavailable: it tries again, and leaves nothing behind."""

import gc
import logging
import threading

import psutil
import pytest
from kafka import KafkaAdminClient

from shared.events.base import Topic
from shared.lifecycle import Lifecycle
from shared.messaging import feed_lag, kafka_clients
from tests.support.engines import free_port


def test_watch_without_a_broker_leaves_no_thread_and_no_descriptor(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")  # pytest keeps every record, and with it the client
    attempts: list[int] = []
    life, address = Lifecycle(), f"127.0.0.1:{free_port()}"

    def make() -> KafkaAdminClient:
        attempts.append(1)
        if len(attempts) > 8:
            life.end()
        return kafka_clients._Admin(bootstrap_servers=address, client_id="lag", bootstrap_timeout_ms=60)

    gc.collect()
    before = (threading.active_count(), psutil.Process().num_fds())
    feed_lag.watch(make, Topic.ISSUANCE, life, every=0.01)
    gc.collect()
    after = (threading.active_count(), psutil.Process().num_fds())
    assert len(attempts) == 9
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 2, "not one for each attempt"

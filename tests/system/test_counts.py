"""What one renewal costs, pinned: a slow regression fails here before anybody measures it."""

import time
from collections.abc import Callable

from benchmarks.counts import Meter
from deploy.demo.clerk import import_subscriptions
from deploy.demo.journey import Journey
from deploy.demo.target import Target
from deploy.local import samples


def test_a_renewal_of_one_item_costs_no_more_than_it_did(system: Target, journey: Callable[..., Journey]) -> None:
    import_subscriptions(system.installation, samples.many(1))
    renewal = journey(samples.many(1)[0].srn)
    meter = Meter(installation=system.installation)
    time.sleep(1)  # what earlier tests have left running comes to its end
    meter.start()
    renewal.apply()
    renewal.receive()
    renewal.fulfil()
    time.sleep(1)
    counts = meter.stop()
    assert counts.kafka_records == 10
    assert 30 < counts.commits <= 70
    assert counts.wal_bytes <= 150 * 1024

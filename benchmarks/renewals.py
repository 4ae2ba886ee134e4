"""Whole renewals through the whole system: how many a second, how long each, and what each costs."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.counts import Meter
from benchmarks.figures import Figure, latencies
from deploy.demo.clerk import import_subscriptions
from deploy.demo.journey import Journey
from deploy.demo.postbox import Postbox
from deploy.demo.target import Target
from deploy.local import samples
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running

GROUP: Final = "renewals of one item, submit → issued (scripted AR with openssl included)"
COST: Final = "what one of them costs"
AT_ONCE: Final = 12
# Made by the AR, not by the system.
OWN_WORK: Final = ("keys and CSRs made",)


def measure(*, renewals: int, alone: int) -> list[Figure]:
    """On a system of its own: some renewals one by one for their cost, then many at once."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-benchmark-"))
    try:
        installation = Installation.open(folder / "state", Ports.free())
        meter = Meter(installation=installation)
        meter.prepare()
        with running(installation, Progress()):
            count = renewals + alone + 1
            import_subscriptions(installation, samples.many(count))
            journeys = _journeys(Target(installation=installation, patience=120), count, folder)
            return [*_cost(meter, journeys[: alone + 1]), *_speed(journeys[alone + 1 :])]
    finally:
        shutil.rmtree(folder)


def _journeys(target: Target, count: int, folder: Path) -> list[Journey]:
    postbox = Postbox(folder=target.installation.posting)  # one for all: each letter is read once
    return [target.journey([each.srn], folder / each.srn, postbox=postbox) for each in samples.many(count)]


def _renew(journey: Journey) -> Journey:
    journey.apply()
    journey.receive_letters()  # the e-mail is sent, but nobody looks: reading the local inbox holds up its mail server
    journey.fulfil()
    journey.ar.close()
    return journey


def _cost(meter: Meter, journeys: Sequence[Journey]) -> list[Figure]:
    first, *others = journeys
    _renew(first)
    meter.watch_idle(5)
    meter.start()
    for journey in others:
        _renew(journey)
    time.sleep(1)
    counts = meter.stop()
    each = {
        "commits that wrote": counts.commits,
        "SQL round trips (idle polling taken off)": counts.round_trips,
        "Kafka records": counts.kafka_records,
    }
    figures = [
        Figure(group=COST, name=name, value=total / len(others), unit="") for name, total in each.items() if total
    ]
    wal = Figure(group=COST, name="WAL", value=counts.wal_bytes / len(others) / 1024, unit="KiB")
    return [*figures, wal, *latencies(COST, "machine's part of the road, alone", [_machine(one) for one in others])]


def _speed(journeys: Sequence[Journey]) -> list[Figure]:
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as ars:
        done = [*ars.map(_renew, journeys)]
    seconds = time.monotonic() - begun
    return [
        Figure(group=GROUP, name=f"{AT_ONCE} ARs at once", value=len(done) / seconds, unit="/s"),
        *latencies(GROUP, "machine's part of the road", [_machine(one) for one in done]),
    ]


def _machine(journey: Journey) -> float:
    return sum(leg.seconds for leg in journey.legs if not leg.name.startswith(OWN_WORK))

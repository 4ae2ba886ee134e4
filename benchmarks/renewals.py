"""Benchmark of complete renewals through the whole system: rate, duration and cost."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks import consumption
from benchmarks.counts import Meter, Process
from benchmarks.figures import Figure, latencies
from deploy.local import samples
from deploy.local.installation import Installation, Ports
from deploy.local.run import Progress, running
from deploy.local.waiting import wait_until
from deploy.postgres.roles import SERVICES
from devtools.scenario import invariants
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.journey import Journey
from devtools.scenario.postbox import Postbox
from devtools.scenario.target import Target

GROUP: Final = "renewals of one item, submit → issued (scripted AR with openssl included)"
COST: Final = "what one of them costs"
TAKEN: Final = "what one of them takes of the machine, many at once"
ISSUING: Final = "processor time of one certificate in issuance-work, from the claimed CSR to the stored certificate"
AT_ONCE: Final = 12
IDLE_SECONDS: Final = 10.0
# Done by the AR, not by the system.
OWN_WORK: Final = ("keys and CSRs made",)


def measure(*, renewals: int, alone: int) -> list[Figure]:
    """Measure on a system of its own: some renewals one by one for their cost, then many at once."""
    folder = Path(tempfile.mkdtemp(prefix="ecert-benchmark-"))
    try:
        installation = Installation.open(folder / "state", Ports.free())
        with running(installation, Progress()) as supervisor:
            number = renewals + alone + 1
            import_subscriptions(installation, samples.many(number))
            target = Target(installation=installation, patience=120)
            journeys = _journeys(target, number, folder)
            taken = consumption.Meter(installation=installation, supervisor=supervisor)
            return [*_cost(target, journeys[: alone + 1]), *_speed(journeys[alone + 1 :], target, taken)]
    finally:
        shutil.rmtree(folder)


def _journeys(target: Target, number: int, folder: Path) -> list[Journey]:
    postbox = Postbox(folder=target.installation.posting)  # shared, so that each letter is read once
    return [target.journey([each.srn], folder / each.srn, postbox=postbox) for each in samples.many(number)]


def _renew(journey: Journey) -> Journey:
    journey.apply()
    journey.receive_letters()  # the e-mail is not looked up: reading the local inbox would delay its mail server
    journey.fulfil()
    journey.ar.close()
    return journey


def _cost(target: Target, journeys: Sequence[Journey]) -> list[Figure]:
    first, *others = journeys
    _renew(first)
    _wait_for_rest(target)
    meter = Meter(installation=target.installation)
    meter.start()
    for journey in others:
        _renew(journey)
    _wait_for_rest(target)
    counts = meter.stop()
    trips = Counter({**counts.round_trips}) + Counter({**counts.look_ups})
    each = {
        "commits that wrote": counts.commits,
        "SQL round trips in transactions that wrote": sum(counts.round_trips.values()),
        "SQL round trips of requests that only looked": sum(counts.look_ups.values()),
        **{f"SQL round trips {service}": _of(trips, service) for service in SERVICES},
        "Kafka records": counts.kafka_records,
    }
    figures = [Figure(group=COST, name=name, value=total / len(others), unit="") for name, total in each.items()]
    wal = Figure(group=COST, name="WAL", value=counts.wal_bytes / len(others) / 1024, unit="KiB")
    return [*figures, wal, *latencies(COST, "machine's part of the road, alone", [_machine(one) for one in others])]


def _of(trips: Mapping[Process, int], service: str) -> int:
    return sum(number for (whose, _), number in trips.items() if whose == service)


def _wait_for_rest(target: Target) -> None:
    wait_until(lambda: invariants.at_rest(target), limit=60, what="nothing is left to do", every=0.2)


def _speed(journeys: Sequence[Journey], target: Target, meter: consumption.Meter) -> list[Figure]:
    meter.watch_idle(IDLE_SECONDS)
    steps = consumption.steps_of_issuing(target.installation)
    meter.start()
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as ars:
        done = [*ars.map(_renew, journeys)]
    seconds = time.monotonic() - begun
    _wait_for_rest(target)
    return [
        *_taken(meter.stop(), len(done)),
        *_issuing(steps, consumption.steps_of_issuing(target.installation), len(done)),
        Figure(group=GROUP, name=f"{AT_ONCE} ARs at once", value=len(done) / seconds, unit="/s"),
        *latencies(GROUP, "machine's part of the road", [_machine(one) for one in done]),
    ]


def _issuing(before: Mapping[str, float], after: Mapping[str, float], certificates: int) -> list[Figure]:
    """Return the processor time of one certificate in `issuance-work`, and the shares of its steps."""
    used = {step: after[step] - before.get(step, 0.0) for step in after}
    whole = used.pop("issue")
    figures = [Figure(group=ISSUING, name="all steps", value=whole / certificates * 1000, unit="ms")]
    return figures + [
        Figure(group=ISSUING, name=f"share of {step}", value=seconds / whole * 100, unit="%")
        for step, seconds in sorted(used.items(), key=lambda each: -each[1])
    ]


def _taken(taken: consumption.Taken, renewals: int) -> list[Figure]:
    cpu = sorted(taken.cpu.items(), key=lambda each: -each[1])
    figures = [Figure(group=TAKEN, name=f"CPU {name}", value=used / renewals * 1000, unit="ms") for name, used in cpu]
    sizes = {f"database {service}": size for service, size in taken.database_bytes.items()}
    sizes["Kafka's log, one copy"] = taken.kafka_bytes
    return figures + [
        Figure(group=TAKEN, name=f"disk {name}", value=size / renewals / 1024, unit="KiB")
        for name, size in sizes.items()
    ]


def _machine(journey: Journey) -> float:
    return sum(leg.seconds for leg in journey.legs if not leg.name.startswith(OWN_WORK))

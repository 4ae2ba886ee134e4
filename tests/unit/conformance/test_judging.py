"""Verdicts on a consumer's output by what was done to the feed: each fault by its own check, and by no other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.checks import CHECKS, FORGED, LOST, Course, judge, report
from conformance.consumer_under_test import Consumer, Run

COURSE = Course(unknown=20, broker=25, flood=30, head=60)


@pytest.fixture
def consumer(tmp_path: Path) -> Consumer:
    """One that did everything right: killed at 40, with 35 to 40 in progress, which it processed again."""
    right = Consumer("right", ["true"], {}, tmp_path)
    right.runs = [Run(killed=True, ended=-9), Run(ended=0)]
    right.runs[0].worked.update(COURSE.good(1, 41))
    right.runs[1].worked.update(COURSE.good(35, 61))
    right.findings = {("gap", LOST), ("forged", FORGED), ("unknown-type", COURSE.unknown)}
    return right


def forget(consumer: Consumer, position: int) -> None:
    for run in consumer.runs:
        del run.worked[position]


FAULTS: dict[str, list[Callable[[Consumer], object]]] = {
    "works every event": [lambda it: forget(it, 3), lambda it: it.unreadable.append("hello")],
    "works each once, though it comes again": [
        lambda it: it.runs[0].worked.update([3]),
        lambda it: it.runs[1].worked.update([3]),
    ],
    "names what is missing, and nothing else": [
        lambda it: it.findings.remove(("gap", LOST)),
        lambda it: it.findings.add(("gap", 3)),
    ],
    "names what is forged, and does not work it": [
        lambda it: it.findings.remove(("forged", FORGED)),
        lambda it: it.findings.add(("forged", 3)),
        lambda it: it.runs[0].worked.update([FORGED]),
    ],
    "goes on behind a version that it does not know": [
        lambda it: it.findings.remove(("unknown-type", COURSE.unknown)),
    ],
    "comes back after the broker was killed": [lambda it: forget(it, 27)],
    "loses nothing when it is killed in the middle": [
        lambda it: forget(it, 50),
        lambda it: setattr(it.runs[0], "killed", False),
    ],
    "ends when it is told to": [lambda it: setattr(it.runs[1], "ended", None)],
}


def test_correct_consumer_passes(consumer: Consumer) -> None:
    verdict = judge(consumer, COURSE)
    assert verdict.passed
    assert report(verdict).endswith("It conforms.")


def test_every_check_has_a_fault() -> None:
    assert FAULTS.keys() == CHECKS.keys()


@pytest.mark.parametrize(("check", "number"), [(check, n) for check, them in FAULTS.items() for n in range(len(them))])
def test_fault_fails_its_own_check_and_no_other(consumer: Consumer, check: str, number: int) -> None:
    FAULTS[check][number](consumer)
    verdict = judge(consumer, COURSE)
    assert {*verdict.failed} == {check}
    assert f"no  {check}: {verdict.failed[check]}" in report(verdict)


def test_unknown_event_version_may_be_processed(consumer: Consumer) -> None:
    consumer.findings.remove(("unknown-type", COURSE.unknown))
    consumer.runs[0].worked.update([COURSE.unknown])
    assert judge(consumer, COURSE).passed


def test_reported_loss_fails_only_the_check_of_losses(consumer: Consumer) -> None:
    forget(consumer, 50)
    consumer.findings.add(("gap", 50))
    assert {*judge(consumer, COURSE).failed} == {"loses nothing when it is killed in the middle"}

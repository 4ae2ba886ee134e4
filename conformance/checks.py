"""Checks of the conformance suite: the verdict about a consumer and its reasons."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from conformance.consumer_under_test import Consumer

# Positions in the first renewals that are lost, forged or unknown.
LOST: Final = 7
FORGED: Final = 11


@dataclass
class Verdict:
    """The verdict about one consumer: each failed check with its reason."""

    name: str
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed


@dataclass(frozen=True, kw_only=True)
class Course:
    """The run's history by position: where each part began, and which events are of an unknown version."""

    unknown: int
    broker: int
    flood: int
    head: int

    def good(self, first: int, behind: int) -> set[int]:
        """Return the positions in this range that a consumer must process."""
        return {*range(first, behind)} - {LOST, FORGED, self.unknown}


def _every(consumer: Consumer, course: Course) -> str | None:
    if consumer.unreadable:
        return f"a line is no JSON object with a position: {consumer.unreadable[0]}"
    return _not_worked(consumer, course.good(1, course.broker))


def _once(consumer: Consumer, course: Course) -> str | None:
    """Check repetitions: none within one run; after the kill, only events that were in progress."""
    twice = {position for run in consumer.runs for position, times in run.worked.items() if times > 1}
    for earlier, later in zip(consumer.runs, consumer.runs[1:], strict=False):
        twice |= {each for each in earlier.worked.keys() & later.worked.keys() if each < course.flood}
    return f"worked more than once: {_some(twice)}" if twice else None


def _broker(consumer: Consumer, course: Course) -> str | None:
    return _not_worked(consumer, course.good(course.broker, course.flood))


def _crash(consumer: Consumer, course: Course) -> str | None:
    if not consumer.runs[0].killed:
        return "it had ended by itself"
    return _not_worked(consumer, course.good(course.flood, course.head + 1))


def _gap(consumer: Consumer, course: Course) -> str | None:
    # An event that was in progress at the kill and does not come again is an effect of the crash.
    if alarms := {each for each in _named(consumer, "gap") & consumer.worked if each < course.flood}:
        return f"named as missing, and they were there: {_some(alarms)}"
    return _unnamed(consumer, "gap", LOST)


def _forgery(consumer: Consumer, course: Course) -> str | None:
    if FORGED in consumer.worked:
        return f"it worked on position {FORGED}"
    if alarms := _named(consumer, "forged") - {FORGED}:
        return f"named as forged, and they are not: {_some(alarms)}"
    return _unnamed(consumer, "forged", FORGED)


def _unknown(consumer: Consumer, course: Course) -> str | None:
    said = consumer.worked | {position for _, position in consumer.findings}
    return None if course.unknown in said else f"position {course.unknown} was neither worked nor named"


def _end(consumer: Consumer, course: Course) -> str | None:
    return None if consumer.runs[-1].ended is not None else "it had not ended twenty seconds after SIGTERM"


CHECKS: Final[Mapping[str, Callable[[Consumer, Course], str | None]]] = {
    "works every event": _every,
    "works each once, though it comes again": _once,
    "names what is missing, and nothing else": _gap,
    "names what is forged, and does not work it": _forgery,
    "goes on behind a version that it does not know": _unknown,
    "comes back after the broker was killed": _broker,
    "loses nothing when it is killed in the middle": _crash,
    "ends when it is told to": _end,
}


def judge(consumer: Consumer, course: Course) -> Verdict:
    """Check all output of a consumer."""
    reasons = {name: check(consumer, course) for name, check in CHECKS.items()}
    return Verdict(consumer.name, {name: reason for name, reason in reasons.items() if reason is not None})


def report(verdict: Verdict) -> str:
    """Return a line for each check."""
    lines = [
        f"  no  {check}: {verdict.failed[check]}" if check in verdict.failed else f"  yes {check}" for check in CHECKS
    ]
    return "\n".join(["", *lines, "", "It conforms." if verdict.passed else "It does not conform."])


def _not_worked(consumer: Consumer, positions: set[int]) -> str | None:
    missing = positions - consumer.worked
    return f"not worked: {_some(missing)}" if missing else None


def _named(consumer: Consumer, finding: str) -> set[int]:
    return {position for kind, position in consumer.findings if kind == finding}


def _unnamed(consumer: Consumer, finding: str, position: int) -> str | None:
    if (finding, position) in consumer.findings:
        return None
    return f'there was no line {{"finding": "{finding}", "position": {position}}}'


def _some(positions: Collection[int]) -> str:
    shown = ", ".join(map(str, sorted(positions)[:8]))
    return f"{shown} and {len(positions) - 8} more" if len(positions) > 8 else shown

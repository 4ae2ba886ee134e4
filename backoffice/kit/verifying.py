"""Verification of a file: lines of `follow --json`, a batch of events, or an export."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from backoffice.kit import exporting
from backoffice.kit.client import FEED
from backoffice.kit.keys import KeyRing
from shared.errors import Undecodable
from shared.events.base import Envelope
from shared.messaging import codec

# A line of `follow --json` that is a finding.
_FINDING: Final = frozenset({"finding", "position", "detail"})


@dataclass
class Report:
    """The content of a file, and its faults."""

    what: str
    wrong: list[str] = field(default_factory=list)


def verify(text: str, keys: KeyRing) -> Report:
    """Verify a complete file."""
    if text.startswith("serial,"):
        return Report(what="an export of certificates", wrong=[*exporting.check(text)])
    report = Report(what="nothing")
    seen: dict[int, Envelope] = {}
    for where, document in _documents(text, report):
        if isinstance(document, dict) and document.keys() == _FINDING:
            continue
        _take(where, document, seen, keys, report)
    if not seen and not report.wrong:
        report.wrong.append("truncated: there is no event in it")
    if seen:
        _check_whole(seen, report)
        report.what = f"{len(seen)} events, positions {min(seen)} to {max(seen)}"
    return report


def _documents(text: str, report: Report) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            yield from ((f"event {number}", each) for number, each in enumerate(json.loads(text), 1))
        except (ValueError, RecursionError):
            report.wrong.append("truncated: the batch does not end")
        return
    for number, line in enumerate(text.splitlines(), 1):
        try:
            yield f"line {number}", json.loads(line)
        except (ValueError, RecursionError):
            report.wrong.append(f"line {number}: truncated, or no JSON")


def _take(where: str, document: Any, seen: dict[int, Envelope], keys: KeyRing, report: Report) -> None:
    try:
        event = codec.from_json(FEED, document if isinstance(document, dict) else {})
    except Undecodable as error:
        report.wrong.append(f"{where}: {error}")
        return
    if (why := keys.verify(event)) is not None:
        report.wrong.append(f"{where}: forged at position {event.position}: {why}")
        return
    assert event.position is not None
    if event.position < max(seen, default=0) and event.position not in seen:
        report.wrong.append(f"{where}: position {event.position} comes after {max(seen)}")
    if (before := seen.setdefault(event.position, event)).id != event.id:
        report.wrong.append(f"{where}: position {event.position} is {before.id}, too")


def _check_whole(seen: dict[int, Envelope], report: Report) -> None:
    missing = [position for position in range(min(seen), max(seen)) if position not in seen]
    report.wrong += [f"gap: position {position} is missing" for position in missing]
    last: dict[str, int] = {}
    for position in sorted(seen):
        event = seen[position]
        if event.subject in last and event.sequence != last[event.subject] + 1:
            report.wrong.append(f"position {position}: sequence {event.sequence} follows {last[event.subject]}")
        last[event.subject] = event.sequence

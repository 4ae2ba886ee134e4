"""`python -m benchmarks`: prints a table for people, and one line of JSON for machines."""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import engines, feed, latency, renewals, scaling, throughput
from benchmarks.figures import Figure, as_json, save, table
from benchmarks.loops import READER, WRITER


def _plumbing(quick: bool) -> list[Figure]:
    with engines.running(WRITER, READER) as made:
        return [
            *latency.measure(made, seconds=3 if quick else 20),
            *throughput.measure(made, events=2_000 if quick else 20_000),
        ]


def _scaling(quick: bool) -> list[Figure]:
    with engines.running(WRITER, READER) as made:
        return scaling.measure(made, events=3_000 if quick else 20_000)


def _renewals(quick: bool) -> list[Figure]:
    return renewals.measure(renewals=6 if quick else 60, alone=2 if quick else 10)


def _feed(quick: bool) -> list[Figure]:
    return feed.measure(events=4_000 if quick else 100_000, seconds=3 if quick else 20)


PARTS: Final[Mapping[str, Callable[[bool], Sequence[Figure]]]] = {
    "plumbing": _plumbing,
    "scaling": _scaling,
    "feed": _feed,
    "renewals": _renewals,
}


def main() -> None:
    """Run the requested parts."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="make short runs, as a smoke test")
    parser.add_argument("--save", action="store_true", help="save the figures for the tables of docs/operations.md")
    options = parser.parse_args()
    begun = time.monotonic()
    figures = [figure for part in options.parts or PARTS for figure in PARTS[part](options.quick)]
    print(table(figures))
    print(f"\nmeasured in {time.monotonic() - begun:.0f} s\n")
    print(as_json(figures))
    if options.save:
        save(figures)


if __name__ == "__main__":
    main()

"""Measured figures and their presentation."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# Source of the tables in docs/operations.md.
MEASURED: Final = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number with its unit; `group` is the part of the benchmark that measured it."""

    group: str
    name: str
    value: float
    unit: str


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latencies(group: str, name: str, seconds: Sequence[float]) -> list[Figure]:
    """Return the median and the 99th percentile, in milliseconds."""
    return [
        Figure(group=group, name=f"{name}, p{share}", value=percentile(seconds, share / 100) * 1000, unit="ms")
        for share in (50, 99)
    ]


def table(figures: Sequence[Figure]) -> str:
    """Return one line for each figure, with aligned numbers."""
    width = max(len(figure.name) for figure in figures)
    lines: list[str] = []
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            lines.append(f"\n{group}")
        number = f"{figure.value:,.0f}" if abs(figure.value) >= 100 else f"{figure.value:,.1f}"
        lines.append(f"  {figure.name:{width}}  {number:>10} {figure.unit}")
    return "\n".join(lines)


def as_json(figures: Sequence[Figure]) -> str:
    """Return the figures as JSON."""
    return json.dumps([asdict(figure) for figure in figures])


def save(figures: Sequence[Figure]) -> None:
    """Save the figures, replacing those of the same groups."""
    groups = {figure.group for figure in figures}
    saved = json.loads(MEASURED.read_text("utf-8")) if MEASURED.exists() else []
    kept = [figure for figure in saved if figure["group"] not in groups]
    lines = (json.dumps(figure, ensure_ascii=False) for figure in (*kept, *map(asdict, figures)))
    MEASURED.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")

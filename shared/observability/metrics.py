"""Metrics whose label values are known beforehand."""

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter


def preset(counter: Counter, *values: Iterable[str]) -> Counter:
    """Return the counter, at 0 for each combination of its labels' values: increase() then counts the first event."""
    for combination in product(*values):
        counter.labels(*combination)
    return counter

"""Processor time of the steps of issuing, as a metric: it says what a slower certificate is slow at."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from prometheus_client import Counter


class Step(StrEnum):
    """Steps from an order with a CSR to its stored certificate; `ISSUE` is all of them together."""

    ISSUE = "issue"
    EVIDENCE = "evidence"
    LINT = "lint"
    SIGN = "sign"
    TRANSPARENCY = "transparency"


SECONDS: Final = Counter("issuance_step_cpu_seconds_total", "Processor time of the steps of issuing", ["step"])


@contextmanager
def measured(step: Step) -> Iterator[None]:
    """Count the processor time of the block, that of the threads it starts included."""
    began = time.process_time()
    try:
        yield
    finally:
        SECONDS.labels(step.value).inc(time.process_time() - began)

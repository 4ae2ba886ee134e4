"""Answers to all questions of an inquiry at once, within one time limit."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import structlog
from prometheus_client import Counter, Histogram

from perspective.fetcher import Fetcher
from perspective.lookups import look_up
from perspective.resolver import LookupFailed, Resolver
from shared.observability.metrics import preset
from shared.pki.observations import Kind, Observation, Outcome, Question, Reason

log = structlog.get_logger()

_THREADS: Final = 32
_TRUST_SECONDS: Final = 60.0
# For the threads to notice that their time is over.
_GRACE_SECONDS: Final = 0.5

OBSERVED: Final = preset(
    Counter("perspective_observations_total", "Questions answered", ["kind", "outcome", "reason"]),
    list(Kind),
    [Outcome.FOUND, Outcome.ABSENT],
    [""],
)
SECONDS: Final = Histogram(
    "perspective_observation_seconds",
    "Time to answer a question",
    ["kind"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 12),
)


class Observer:
    """Resolver and fetcher of a perspective; `timeout` is in seconds, for all questions of an inquiry together."""

    def __init__(self, *, resolver: Resolver, fetcher: Fetcher, timeout: float) -> None:
        self._resolver = resolver
        self._fetcher = fetcher
        self._timeout = timeout
        self._trusted_until = 0.0

    def observe(self, questions: Sequence[Question]) -> tuple[Observation, ...]:
        """Return an observation for each question; the one for a question without an answer says why.

        A resolver that does not validate would take every zone for an unsigned one, so its answers do not count.
        """
        if self._is_trusted():
            observations = self._observe_all(questions)
        else:
            log.error("perspective.resolver_does_not_validate")
            observations = tuple(_failed(question, Reason.INTERNAL) for question in questions)
        for each in observations:
            OBSERVED.labels(each.kind, each.outcome, each.reason or "").inc()
        return observations

    def _is_trusted(self) -> bool:
        """Return whether the resolver validates; asked again once a minute."""
        now = time.monotonic()
        if now >= self._trusted_until and self._resolver.validates():
            self._trusted_until = now + _TRUST_SECONDS
        return now < self._trusted_until

    def _observe_all(self, questions: Sequence[Question]) -> tuple[Observation, ...]:
        deadline = time.monotonic() + self._timeout
        # Threads of this inquiry alone: one whose servers hang delays no other.
        pool = ThreadPoolExecutor(min(_THREADS, len(questions)), thread_name_prefix="observe")
        try:
            running = [pool.submit(self._observe, question, deadline) for question in questions]
            wait(running, timeout=deadline - time.monotonic() + _GRACE_SECONDS)
            return tuple(map(_finished, questions, running))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _observe(self, question: Question, deadline: float) -> Observation:
        try:
            with SECONDS.labels(question.kind).time():
                if question.kind is Kind.FILE:
                    return self._fetcher.fetch(question, deadline)
                return look_up(self._resolver, question, deadline)
        except LookupFailed as failed:
            return _failed(question, failed.reason)
        except Exception as error:  # a fault in one answer must not cost the answers to the other questions
            log.error("perspective.failed", exc_info=error, kind=question.kind, name=question.name)
            return _failed(question, Reason.INTERNAL)


def _finished(question: Question, running: "Future[Observation]") -> Observation:
    if running.done():
        return running.result()
    return _failed(question, Reason.FETCH_TIMEOUT if question.kind is Kind.FILE else Reason.DNS_TIMEOUT)


def _failed(question: Question, reason: Reason) -> Observation:
    return Observation(kind=question.kind, name=question.name, outcome=Outcome.FAILED, reason=reason)

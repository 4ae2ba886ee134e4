"""Run of the conformance suite: one fault after the other, while consumers read."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from conformance.checks import FORGED, LOST, Course, Verdict, judge
from conformance.consumer_under_test import Consumer
from conformance.feed_fixture import PER_RENEWAL, Practice

_RENEWALS: Final = 15
_UNKNOWN: Final = _RENEWALS * PER_RENEWAL + 1
# More events than the pipe holds and a consumer takes at once.
_FLOOD: Final = 150
_BROKER_AWAY_SECONDS: Final = 2
# Time for which the output is not read before the kill.
_HELD_UP_SECONDS: Final = 5
_LIMIT_SECONDS: Final = 60.0
Say = Callable[[str], None]


class Trial:
    """A run with all consumers at once. `limit` is the time in seconds for each part."""

    def __init__(
        self, practice: Practice, consumers: Sequence[Consumer], say: Say, *, limit: float = _LIMIT_SECONDS
    ) -> None:
        self._practice = practice
        self._consumers = consumers
        self._say = say
        self._limit = limit

    def hold(self) -> list[Verdict]:
        """Run all parts. Returns a verdict on each consumer; no consumer is left running."""
        try:
            return self._hold()
        finally:
            for consumer in self._consumers:
                consumer.close()

    def _hold(self) -> list[Verdict]:
        self._begin()
        self._repeat()
        broker = self._practice.head + 1
        self._restart_broker()
        flood = self._practice.head + 1
        self._kill_consumers()
        course = Course(unknown=_UNKNOWN, broker=broker, flood=flood, head=self._practice.head)
        self._say("They are told to end" if len(self._consumers) > 1 else "It is told to end")
        for consumer in self._consumers:
            consumer.terminate()
        return [judge(consumer, course) for consumer in self._consumers]

    def _begin(self) -> None:
        self._say("A feed with a gap, a forged event and one of a version that nobody knows")
        self._practice.announce(_RENEWALS)
        self._practice.announce_unknown()
        self._practice.announce(1)
        self._practice.stamp()
        self._practice.lose(LOST)
        self._practice.forge(FORGED)
        self._practice.start_relay()
        self._practice.wait_until_sent()
        for consumer in self._consumers:
            consumer.start()
        self._wait_for_all()
        self._wait(lambda consumer: {LOST, FORGED} <= {position for _, position in consumer.findings}, self._limit / 4)

    def _repeat(self) -> None:
        self._say("Every event comes once more")
        self._practice.repeat()
        self._practice.wait_until_sent()
        self._practice.announce(1)
        self._wait_for_all()

    def _restart_broker(self) -> None:
        self._say("The broker is killed and comes back")
        self._practice.kill_broker()
        self._practice.announce(1)
        time.sleep(_BROKER_AWAY_SECONDS)
        self._practice.start_broker()
        self._practice.wait_until_sent(self._limit)
        self._wait_for_all()

    def _kill_consumers(self) -> None:
        self._say(f"{_FLOOD * PER_RENEWAL} more events; its output is not read, it is killed, and started again")
        for consumer in self._consumers:
            consumer.hold_up()
        self._practice.announce(_FLOOD)
        self._practice.wait_until_sent(self._limit)
        time.sleep(_HELD_UP_SECONDS)
        for consumer in self._consumers:
            consumer.kill()
        for consumer in self._consumers:
            consumer.start()
        self._wait_for_all()

    def _wait_for_all(self) -> None:
        """Wait until every consumer has processed every good event."""
        good = {*range(1, self._practice.head + 1)} - {LOST, FORGED, _UNKNOWN}
        self._wait(lambda consumer: good <= consumer.worked, self._limit)

    def _wait(self, done: Callable[[Consumer], bool], limit: float) -> None:
        """Wait within the limit, and for running consumers only; what is missing then fails its check at the end."""
        until = time.monotonic() + limit
        while not all(done(each) or not each.running for each in self._consumers) and time.monotonic() < until:
            time.sleep(0.1)

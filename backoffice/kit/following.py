"""Reader loop: poll, verify, order, work, record, commit; and fetch missing positions over HTTP."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from kafka.errors import KafkaError

from backoffice.kit.booking import book
from backoffice.kit.client import FeedClient
from backoffice.kit.keys import KeyRing
from backoffice.kit.order import Finding, Kind, Order
from backoffice.kit.sources import PAGE, Batch, Source
from backoffice.kit.state import State
from shared.events.base import Envelope
from shared.lifecycle import StopSignal
from shared.web.https_client import APIUnavailable

log = structlog.get_logger()

POLL_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 20.0
RETRY_DELAY_SECONDS: Final = 1.0
# No more events are polled once so many wait for an earlier position.
MAX_WAITING: Final = 1000

Work = Callable[[Envelope | Finding], None]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Time in seconds for a missing position to arrive, before it is fetched or given up."""

    seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic


class Follower:
    """A feed reader. `work` is called once for each event in order of position, and for each finding.

    Durability comes in this order: work, state, offsets. After a crash in between, the last events are worked again: at
    least once, each with its position.
    """

    def __init__(
        self,
        source: Source,
        state: State,
        keys: KeyRing,
        work: Work,
        *,
        client: FeedClient | None = None,
        patience: Patience = Patience(),
    ) -> None:
        self._source = source
        self._state = state
        self._keys = keys
        self._work = work
        self._client = client
        self._patience = patience
        self._order = Order(state.next_position, state.id_at)
        self._hole: tuple[int, float] | None = None
        self._batch: Batch | None = None
        # True while the loop waits for events, and can be interrupted safely.
        self.idle = False

    @property
    def repeats(self) -> int:
        """The number of events that came again."""
        return self._order.repeats

    def run(self, stop: StopSignal, *, until: int | None = None) -> None:
        """Follow until stopped, or until the position `until` is recorded. Raises APIProblem."""
        while not stop.is_set() and (until is None or self._state.next_position <= until):
            stop.beat()
            try:
                self.turn()
            except (APIUnavailable, KafkaError) as error:
                log.warning("kit.unavailable", error=f"{type(error).__name__}: {error}")
                stop.wait(RETRY_DELAY_SECONDS)

    def turn(self) -> None:
        """Process one batch."""
        if self._order.waiting >= MAX_WAITING:
            self._source.rest(POLL_SECONDS)
            self._fill()
            return
        # Kept until it is processed: loading a new key may fail, and the source does not deliver the batch again.
        self._batch = batch = self._batch or self._poll()
        findings = [Finding(kind=Kind.UNREADABLE, position=None, detail=why) for why in batch.unreadable]
        findings += self._take(batch.events)
        self._batch = None
        with self._state.transaction():
            self._note(findings)
            self._book_ready()
            if batch.complete_to is not None:
                self._give_up_below(batch.complete_to + 1)
        self._source.settle(lambda position: not self._order.waits(position))
        self._fill()

    def _poll(self) -> Batch:
        self.idle = True
        try:
            return self._source.poll(self._order.next_position, POLL_SECONDS if self._order.waiting else IDLE_SECONDS)
        finally:
            self.idle = False

    def _take(self, events: Iterable[Envelope]) -> list[Finding]:
        findings = []
        for event in events:
            if event.position is None:
                findings.append(Finding(kind=Kind.UNREADABLE, position=None, detail=f"{event.id} has no position"))
            elif event.position <= self._state.baseline:
                continue
            elif (why := self._keys.verify(event)) is not None:
                findings.append(Finding(kind=Kind.FORGED, position=event.position, detail=why))
            elif (finding := self._order.take(event)) is not None:
                findings.append(finding)
        return findings

    def _book_ready(self) -> None:
        for event in self._order.ready():
            findings = [*book(event, self._state)]
            self._work(event)
            self._note(findings)
        self._state.go_on_to(self._order.next_position)

    def _note(self, findings: Iterable[Finding]) -> None:
        """Report each finding once, also across restarts."""
        for finding in findings:
            if self._state.note(finding):
                self._work(finding)

    def _fill(self) -> None:
        """Fetch the missing position that others wait for, after the patience has run out; report it if it does not
        exist.
        """
        hole = self._order.hole
        if not hole:
            self._hole = None
            return
        if self._hole is None or self._hole[0] != hole.start:
            self._hole = (hole.start, self._patience.clock())
        patient = self._patience.clock() - self._hole[1] < self._patience.seconds
        if patient and self._order.waiting < MAX_WAITING:
            return
        findings = []
        if self._client is not None:
            page = self._client.page(hole.start - 1, limit=min(PAGE, len(hole)))
            findings = self._take(page.events)
            end = min(hole.stop, (page.last or hole.stop) + 1)
        else:
            end = hole.stop
        with self._state.transaction():
            self._note(findings)
            self._give_up_below(end)
        self._source.settle(lambda position: not self._order.waits(position))

    def _give_up_below(self, position: int) -> None:
        self._book_ready()
        while self._order.next_position < position:
            self._note([self._order.give_up()])
            self._book_ready()

"""Submission of a precertificate to logs, in parallel, until the SCTs meet the policy or the time is over.

No more logs are asked than the policy needs. A log that fails, lies or is slow is replaced by another one.
"""

import base64
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.issuance.ct import policy, scts
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.log_list import Log, LogList
from services.issuance.ct.policy import SCTRule
from services.issuance.ct.scts import SCT, PrecertEntry, SCTRefused
from shared.errors import Unavailable
from shared.tx import Clock, utc_now
from shared.web.https_client import APIProblem, APIUnavailable

log = structlog.get_logger()

# For all logs together; the lease of an intent outlasts it.
DEADLINE: Final = timedelta(seconds=15)
# Browsers enforce SCTs by a list of their own that is not older: our older one may name logs that they have dropped.
MAX_LIST_AGE: Final = timedelta(days=70)
# A log without an answer by then gets a replacement, and may still answer.
HEDGE_SECONDS: Final = 2.0
# A log that failed comes after the others for this long.
_AVOIDED_SECONDS: Final = 60.0
_MAX_TEXT: Final = 200

SUBMISSIONS: Final = Counter("issuance_ct_submissions_total", "Submissions to logs by outcome", ["log", "outcome"])
SECONDS: Final = Histogram(
    "issuance_ct_sct_seconds", "Time until a log's SCT", ["log"], buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15)
)
UP: Final = Gauge("issuance_ct_log_up", "Whether the last submission to the log brought an SCT", ["log"])
LIST_AGE: Final = Gauge("issuance_ct_log_list_age_seconds", "Age of the log list in use, 0 in processes without one")
SHORTFALLS: Final = Counter("issuance_ct_shortfalls_total", "Attempts that ended with too few SCTs")


class NotEnoughSCTs(Unavailable):
    """Too few logs have answered: the certificate is not signed, and tried again later.

    `scts` are those at hand, for the next attempt; `reasons` say by log what happened.
    """

    reason = "not-enough-scts"

    def __init__(self, found: tuple[SCT, ...], reasons: Mapping[str, str]) -> None:
        self.scts = found
        self.reasons = dict(reasons)
        super().__init__("; ".join(f"{name}: {why}" for name, why in sorted(reasons.items())) or "no log is usable")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A precertificate with the chain above it, and what logs sign of it."""

    precertificate: bytes
    chain: tuple[bytes, ...]
    entry: PrecertEntry
    not_before: datetime
    not_after: datetime

    @cached_property
    def document(self) -> dict[str, list[str]]:
        """The body of add-pre-chain."""
        return {"chain": [base64.b64encode(der).decode() for der in (self.precertificate, *self.chain)]}


@dataclass(kw_only=True)
class _Race:
    """State of one submission: SCTs, failures, and the logs that are being asked."""

    rule: SCTRule
    able: list[Log]
    got: dict[bytes, SCT] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    asked: set[bytes] = field(default_factory=set)
    waiting: set[bytes] = field(default_factory=set)
    slow: set[bytes] = field(default_factory=set)

    @property
    def have(self) -> list[Log]:
        """The logs whose SCTs are here."""
        return [each for each in self.able if each.log_id in self.got]

    def result(self) -> tuple[SCT, ...] | None:
        """Return as many SCTs as the rule asks for, if these are here."""
        found = policy.chosen(self.rule, self.have)
        return None if found is None else tuple(self.got[each.log_id] for each in found)

    def next_logs(self) -> list[Log] | None:
        """Return the logs to be asked now; None if even all of them could not meet the rule."""
        prompt = [each for each in self.able if each.log_id in self.waiting - self.slow]
        fresh = [each for each in self.able if each.log_id not in self.asked]
        wanted = policy.complete(self.rule, self.have, [*prompt, *fresh])
        return None if wanted is None else [each for each in wanted if each.log_id not in self.asked]


class Logs:
    """The logs of the list, as this CA uses them."""

    def __init__(
        self,
        log_list: LogList,
        client: LogClient,
        *,
        deadline: timedelta = DEADLINE,
        hedge_seconds: float = HEDGE_SECONDS,
    ) -> None:
        self.log_list = log_list
        self._client = client
        self._deadline = deadline
        self._hedge_seconds = hedge_seconds
        self._failed_at: dict[bytes, float] = {}
        LIST_AGE.set_function(lambda: (utc_now() - log_list.made_at).total_seconds())

    def collect(self, submission: Submission, have: Sequence[SCT], clock: Clock) -> tuple[SCT, ...]:
        """Return the SCTs that the certificate needs, all verified; those at hand count. Raises NotEnoughSCTs.

        A log list that is too old counts as none: no log is asked.
        """
        now = clock()
        if now - self.log_list.made_at > MAX_LIST_AGE:
            SHORTFALLS.inc()
            why = f"made at {self.log_list.made_at.isoformat()}, more than {MAX_LIST_AGE.days} days ago"
            raise NotEnoughSCTs(tuple(have), {"log list": why})
        race = _Race(
            rule=policy.rule_for(submission.not_before, submission.not_after, now),
            able=sorted(policy.candidates(self.log_list.logs, submission.not_after, now), key=self._failed_lately),
        )
        able = {each.log_id: each for each in race.able}
        race.got = {
            sct.log_id: sct
            for sct in have
            if sct.log_id in able and _is_of(sct, able[sct.log_id], submission.entry, now)
        }
        race.asked = set(race.got)
        try:
            return self._run(race, submission, clock)
        except NotEnoughSCTs:
            SHORTFALLS.inc()
            raise

    def _run(self, race: _Race, submission: Submission, clock: Clock) -> tuple[SCT, ...]:
        answers: queue.SimpleQueue[tuple[Log, SCT | str]] = queue.SimpleQueue()
        end = time.monotonic() + self._deadline.total_seconds()
        while (found := race.result()) is None:
            for each in race.next_logs() or ():
                race.asked.add(each.log_id)
                race.waiting.add(each.log_id)
                # A daemon: a log that sends its answer byte by byte must not delay the end of the process.
                arguments = (each, submission, clock, answers)
                threading.Thread(target=self._ask, args=arguments, daemon=True, name="ct-submission").start()
            left = end - time.monotonic()
            if not race.waiting or left <= 0:
                raise self._not_enough(race)
            try:
                answering, answer = answers.get(timeout=min(self._hedge_seconds, left))
            except queue.Empty:
                race.slow |= race.waiting
                continue
            self._take(race, answering, answer)
        return found

    def _take(self, race: _Race, answering: Log, answer: SCT | str) -> None:
        race.waiting.discard(answering.log_id)
        if isinstance(answer, SCT):
            race.got[answering.log_id] = answer
            self._failed_at.pop(answering.log_id, None)
            return
        race.reasons[answering.description] = answer
        self._failed_at[answering.log_id] = time.monotonic()

    def _not_enough(self, race: _Race) -> NotEnoughSCTs:
        for each in race.able:
            if each.log_id in race.waiting:
                race.reasons[each.description] = "no answer in time"
                self._failed_at[each.log_id] = time.monotonic()
                UP.labels(each.description).set(0)
        return NotEnoughSCTs(tuple(race.got.values()), race.reasons)

    def _failed_lately(self, each: Log) -> bool:
        return time.monotonic() - self._failed_at.get(each.log_id, -_AVOIDED_SECONDS) < _AVOIDED_SECONDS

    def _ask(
        self, asked: Log, submission: Submission, clock: Clock, answers: queue.SimpleQueue[tuple[Log, SCT | str]]
    ) -> None:
        begun = time.monotonic()
        answer, outcome = self._answer(asked, submission, clock)
        SUBMISSIONS.labels(asked.description, outcome).inc()
        UP.labels(asked.description).set(isinstance(answer, SCT))
        if isinstance(answer, SCT):
            SECONDS.labels(asked.description).observe(time.monotonic() - begun)
        else:
            log.warning("ct.submission_failed", log=asked.description, outcome=outcome, why=answer)
        answers.put((asked, answer))

    def _answer(self, asked: Log, submission: Submission, clock: Clock) -> tuple[SCT | str, str]:
        """Return the verified SCT or what went wrong, and the outcome's label."""
        path, limit = "ct/v1/add-pre-chain", scts.MAX_ANSWER_BYTES
        try:
            sct = scts.decode_answer(self._client.post(asked.url, path, submission.document, max_bytes=limit))
            scts.verify(sct, asked, submission.entry, clock())
        except SCTRefused as refused:
            return str(refused), str(refused.fault)
        except APIProblem as problem:
            said = problem.document.get("error_message") or problem.document.get("title", "")
            return f"{problem.status} {str(said)[:_MAX_TEXT]}".strip(), "rejected"
        except APIUnavailable as unavailable:
            return str(unavailable), "unavailable"
        except Exception as error:  # a thread's exception would leave its log waiting
            return f"{type(error).__name__}: {error}", "failed"
        return sct, "sct"


def _is_of(sct: SCT, asked: Log, entry: PrecertEntry, now: datetime) -> bool:
    """Return whether an SCT at hand is the log's for this precertificate: stored ones are verified like answers."""
    try:
        scts.verify(sct, asked, entry, now)
    except SCTRefused:
        return False
    return True

"""Client of the perspectives: asks all of them at once, and never waits longer than the limit for any of them.

No perspective can stop the others: one that hangs, lies or is down is a `Failure`, which corroborates nothing.
"""

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.issuance.dcv.quorum import Perspective, PerspectiveSet
from shared.pki.observations import MAX_REPORT_BYTES, Inquiry, Question, Report, Unreadable, read_report
from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, HTTPSClient, Limits

PATH: Final = "/v1/observations"
CONNECT_TIMEOUT: Final = 3.0
# A perspective itself answers within 12 seconds, whatever its questions.
TOTAL_TIMEOUT: Final = 18.0
# Requests under way to one perspective: what hangs there keeps these threads, and no others.
MAX_REQUESTS: Final = 4
FAILURE_REASONS: Final = ("unavailable", "timed-out", "busy", "refused", "unreadable")
_MAX_DETAIL: Final = 200


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A perspective without a report.

    `reason` is one of FAILURE_REASONS; `detail` is text for people.
    """

    perspective: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Files (PEM): the CA of the perspectives' server certificates; our client certificate and its key."""

    ca_file: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Limits in seconds: to connect, and in all."""

    connect: float = CONNECT_TIMEOUT
    total: float = TOTAL_TIMEOUT


class _Remote:
    """One perspective with its own connections and its own places for requests."""

    def __init__(self, perspective: Perspective, credentials: Credentials, timeouts: Timeouts) -> None:
        self.name = perspective.name
        self._places = threading.BoundedSemaphore(MAX_REQUESTS)
        self._client = HTTPSClient(
            Endpoint(
                url=perspective.url,
                address=perspective.address,
                ca_file=credentials.ca_file,
                certificate=credentials.certificate,
                key=credentials.key,
            ),
            Limits(
                connections=MAX_REQUESTS,
                connect_timeout=timeouts.connect,
                read_timeout=timeouts.total,
                max_bytes=MAX_REPORT_BYTES,
            ),
        )

    def ask(self, inquiry: Inquiry) -> "_Answer":
        """Start the request in a thread of its own."""
        answer = _Answer(self.name)
        if not self._places.acquire(blocking=False):
            answer.put(Failure(perspective=self.name, reason="busy", detail=f"{MAX_REQUESTS} requests are under way"))
            return answer
        # A daemon thread: what hangs does not keep the process from ending.
        threading.Thread(target=self._request, args=(inquiry, answer), name=f"ask-{self.name}", daemon=True).start()
        return answer

    def close(self) -> None:
        self._client.close()

    def _request(self, inquiry: Inquiry, answer: "_Answer") -> None:
        try:
            answer.put(self._outcome(inquiry))
        finally:
            self._places.release()

    def _outcome(self, inquiry: Inquiry) -> Report | Failure:
        try:
            reply = self._client.request("POST", PATH, inquiry.document())
            report = read_report(reply.body)
            report.require_answer_to(inquiry)
            if report.perspective != self.name:
                raise Unreadable(f"the report is {report.perspective}'s")
        except APIProblem as error:
            return self._failure("refused", error)
        except APIUnavailable as error:
            return self._failure("unavailable", error)
        except Unreadable as error:
            return self._failure("unreadable", error)
        except Exception as error:  # whatever a library makes of a stranger's reply, it is no report
            return self._failure("unreadable", error)
        return report

    def _failure(self, reason: str, error: Exception) -> Failure:
        return Failure(perspective=self.name, reason=reason, detail=f"{error}"[:_MAX_DETAIL])


class _Answer:
    """Outcome of one request, once there is one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._done = threading.Event()
        self._outcome: Report | Failure | None = None

    def put(self, outcome: Report | Failure) -> None:
        self._outcome = outcome
        self._done.set()

    def get(self, until: float) -> Report | Failure:
        """Return the outcome, or that there was none until that moment of the monotonic clock."""
        self._done.wait(max(0.0, until - time.monotonic()))
        return self._outcome or Failure(perspective=self._name, reason="timed-out")


class Perspectives:
    """All perspectives of a set, over mutual TLS. Its methods may be called from several threads."""

    def __init__(
        self, perspectives: PerspectiveSet, credentials: Credentials, timeouts: Timeouts | None = None
    ) -> None:
        self.set = perspectives
        self._timeouts = timeouts or Timeouts()
        self._all = [_Remote(each, credentials, self._timeouts) for each in perspectives.perspectives]

    @property
    def primary(self) -> str:
        """The name of the primary perspective."""
        return self.set.primary.name

    def observe(self, questions: Sequence[Question], attempt_id: uuid.UUID) -> Mapping[str, Report | Failure]:
        """Return each perspective's report on these questions, or why there is none, by name.

        Every call asks all perspectives again: a retry keeps nothing of an earlier attempt.
        """
        inquiry = Inquiry(attempt_id=attempt_id, questions=tuple(questions))
        until = time.monotonic() + self._timeouts.total
        answers = {each.name: each.ask(inquiry) for each in self._all}
        return {name: answer.get(until) for name, answer in answers.items()}

    def close(self) -> None:
        """Close the connections."""
        for each in self._all:
            each.close()

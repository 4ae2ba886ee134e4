"""Parsing pool: libraries read untrusted bytes in other processes, within limits of time and memory.

A key, a CSR, a certificate or a CMS of a few kilobytes can keep OpenSSL busy for a minute while it holds the
interpreter's lock: all other requests of the process would wait. A worker that exceeds its limits is killed and
replaced. A worker inherits no environment, so its memory contains no secret.

A worker limits time and memory; it is not trusted less: its answers are unpickled here.
"""

import os
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import structlog
from prometheus_client import Counter

from shared.errors import Refused, Unavailable

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

WORKERS: Final = 2
# Number of further calls that may wait for a worker, and their timeout; others are refused at once, since each blocks a
# thread.
WAITING: Final = 4
WAIT_TIMEOUT: Final = 1.0
# A worker's own limits (parsing_worker.py) end a call long before, unless the machine is busy.
CALL_TIMEOUT: Final = 10.0
_ROOT: Final = Path(__file__).parents[2]
# Variables by which the interpreter finds its libraries.
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_CALLS: Final = Counter("parsing_calls_total", "Calls to the parsing pool by outcome", ["outcome"])


class TooCostly(Refused):
    """The input took more time or memory to parse than any valid input."""

    reason = "too-costly-to-read"


class ParserBusy(Unavailable):
    """All workers are busy."""

    reason = "parser-busy"


class ParserFailed(Exception):
    """A fault in our code, in a worker; the message is its traceback."""


class Parser(Protocol):
    """Runner of functions that read untrusted bytes."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class Inline:
    """Parser in the calling process, for bytes that a pool has read before."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function."""
        return function(*args, **kwargs)


INLINE: Final = Inline()


class Pool:
    """Parser in worker processes. Create it after the process has forked; workers import `modules` first."""

    def __init__(
        self,
        modules: Sequence[str],
        *,
        workers: int = WORKERS,
        waiting: int = WAITING,
        wait_timeout: float = WAIT_TIMEOUT,
        call_timeout: float = CALL_TIMEOUT,
    ) -> None:
        self._modules = tuple(modules)
        self._wait_timeout = wait_timeout
        self._call_timeout = call_timeout
        self._places = threading.BoundedSemaphore(workers + waiting)
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(_Worker(self._modules))

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a module's function in a worker. Raises its exception, if that is Refused or Unavailable.

        Raises TooCostly, ParserBusy, or ParserFailed for any other exception.
        """
        with self._worker() as worker:
            outcome, value = worker.call(pickle.dumps((function, args, kwargs)), self._call_timeout)
        _CALLS.labels(outcome).inc()
        match outcome:
            case "returned":
                return value  # type: ignore[no-any-return]
            case "refused":
                raise value
            case "overran":
                log.warning("parsing.overran", function=getattr(function, "__qualname__", ""))
                raise TooCostly("the input takes too long to read")
            case _:
                raise ParserFailed(value)

    def close(self) -> None:
        """End idle workers; the others end with this process."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().end()

    @contextmanager
    def _worker(self) -> Iterator["_Worker"]:
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            worker = self._idle.get(timeout=self._wait_timeout)
            try:
                if not worker.is_alive():
                    worker = _Worker(self._modules)
                yield worker
            finally:
                self._idle.put(worker)
        except queue.Empty:
            raise _busy() from None
        finally:
            self._places.release()


def _busy() -> ParserBusy:
    _CALLS.labels("busy").inc()
    return ParserBusy("try again in a moment")


class _Worker:
    """A worker process; it ends when the other end of its connection is closed."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "shared.validation.parsing_worker", str(theirs.fileno()), *modules],
                cwd=_ROOT,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._end = weakref.finalize(self, _end, self._process, self._connection)

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def call(self, message: bytes, timeout: float) -> tuple[str, Any]:
        """Return outcome and value; if the call exceeds a limit, the process is gone."""
        try:
            self._connection.send_bytes(message)
            if self._connection.poll(timeout):
                outcome, value = pickle.loads(self._connection.recv_bytes())  # noqa: S301  (our own worker)
                return outcome, value
        except (EOFError, OSError):
            pass
        except BaseException:
            self.end()
            raise
        self.end()
        return "overran", None

    def end(self) -> None:
        """Kill the process and wait for it."""
        self._end()


def _end(process: "subprocess.Popen[bytes]", connection: Connection) -> None:
    process.kill()
    process.wait()
    connection.close()

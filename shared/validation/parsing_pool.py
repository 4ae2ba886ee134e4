"""Parsing pool: bytes of strangers are read by libraries in other processes, within limits of time and memory.

A key, a CSR, a certificate or a CMS of a few kilobytes can keep OpenSSL busy for a minute, and the interpreter's lock
is held meanwhile: every other request of the process would wait. A worker that overruns its limits is killed and
replaced. A worker gets none of the process's environment, so no secret lies in the memory beside the stranger's bytes.

A worker is a boundary for time and memory, not for trust: its answers are unpickled here.
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
# So many more calls may wait for a worker, so long; the others are refused at once: a request holds a thread.
WAITING: Final = 4
WAIT_TIMEOUT: Final = 1.0
# A worker's own limits (parsing_worker.py) end a call long before, unless the machine is busy.
CALL_TIMEOUT: Final = 10.0
_ROOT: Final = Path(__file__).parents[2]
# What the interpreter needs to find its libraries.
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_CALLS: Final = Counter("parsing_calls_total", "Calls to the parsing pool by outcome", ["outcome"])


class TooCostly(Refused):
    """The bytes took more time or memory to read than anything that is in order."""

    reason = "too-costly-to-read"


class ParserBusy(Unavailable):
    """Every worker is taken."""

    reason = "parser-busy"


class ParserFailed(Exception):
    """A fault in our code, in a worker; the message is its traceback."""


class Parser(Protocol):
    """A place where a function that reads strangers' bytes is called."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class Inline:
    """Parser in this very process: for bytes that were read by a pool before."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it."""
        return function(*args, **kwargs)


INLINE: Final = Inline()


class Pool:
    """Parser in worker processes. Make it after the process has forked; `modules` are what the workers import first."""

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
        """Call a module's function in a worker. Raises what it raises, if that is Refused or Unavailable.

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
        """End the workers that are idle; the others end with this process."""
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
    """One process; it ends when the other end of its connection is closed."""

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
        """The outcome and its value; after an overrun the process is gone."""
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
        """Kill the process, and wait for it."""
        self._end()


def _end(process: "subprocess.Popen[bytes]", connection: Connection) -> None:
    process.kill()
    process.wait()
    connection.close()

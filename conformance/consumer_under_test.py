"""Consumer under test: a process whose output is read line by line, or not at all to block it."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# The kernel's minimum: an unread process soon blocks.
_PIPE_BYTES: Final = 4096
_END_SECONDS: Final = 20


@dataclass
class Run:
    """Output of one process of the consumer; `ended` is its exit status, None if it had to be killed at the end."""

    worked: Counter[int] = field(default_factory=Counter)
    ended: int | None = None
    killed: bool = False


class Consumer:
    """A command under test. It prints a JSON object a line: `position` of a processed event, or `finding`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        self.name = name
        self.runs: list[Run] = []
        self.findings: set[tuple[str, int]] = set()
        self.unreadable: list[str] = []
        self._command = [*command]
        self._environment = {**os.environ, **environment}
        self._errors = folder / f"{name}.err"
        self._reading = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def worked(self) -> set[int]:
        """All positions that it has ever processed."""
        return {position for run in self.runs for position in run.worked}

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start or restart the command, and read its output."""
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with self._errors.open("ab") as errors:
            # A session of its own, so that its child processes end with it.
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdout=write,
                stderr=errors,
                start_new_session=True,
            )
        os.close(write)
        self.runs.append(Run())
        self._reading.set()
        self._reader = threading.Thread(target=self._read, args=(read, self.runs[-1]), daemon=True)
        self._reader.start()

    def hold_up(self) -> None:
        """Stop reading, so that the process blocks at its output."""
        self._reading.clear()

    def kill(self) -> None:
        """Send SIGKILL, then read the remaining output; a truncated line does not count."""
        self.runs[-1].killed = self.running
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM, and wait for twenty seconds."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """End all its processes."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _end(self, number: int) -> None:
        assert self._process is not None
        assert self._reader is not None
        if self.running:
            self._signal(number)
        if number == signal.SIGTERM:
            self._reading.set()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.runs[-1].ended = self._process.wait(_END_SECONDS)
        # Child processes that it left hold its output open, too.
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._reading.set()
        self._reader.join()
        self._process = None

    def _read(self, descriptor: int, run: Run) -> None:
        rest = b""
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while self._reading.wait() and (chunk := pipe.read(1024)):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line, run)

    def _take(self, line: bytes, run: Run) -> None:
        try:
            said: Any = json.loads(line)
            position = int(said["position"])
        except (ValueError, TypeError, KeyError):
            self.unreadable.append(line.decode("utf-8", "replace")[:100])
            return
        if "finding" in said:
            self.findings.add((str(said["finding"]), position))
        else:
            run.worked[position] += 1

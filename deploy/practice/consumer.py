"""A consumer under trial: a process whose output is read line by line, or not at all while it shall be held up."""

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

# As little as the kernel allows: who is not read soon waits.
_PIPE_BYTES: Final = 4096
_END_SECONDS: Final = 20


@dataclass
class Run:
    """What one process of the consumer put out; `ended` is its exit status, None if it had to be killed at the end."""

    worked: Counter[int] = field(default_factory=Counter)
    ended: int | None = None
    killed: bool = False


class Consumer:
    """Somebody's command. It prints a JSON object a line: `position` for an event it has worked on, or `finding`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        runs_in: Path | None = None,
    ) -> None:
        self.name = name
        self.runs: list[Run] = []
        self.findings: set[tuple[str, int]] = set()
        self.unreadable: list[str] = []
        self._command = [*command]
        self._environment = {**os.environ, **environment}
        self._runs_in = runs_in
        self._errors = folder / f"{name}.err"
        self._reading = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def worked(self) -> set[int]:
        """Every position it has ever worked on."""
        return {position for run in self.runs for position in run.worked}

    @property
    def running(self) -> bool:
        """Its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again or for the first time, and read what it says."""
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with self._errors.open("ab") as errors:
            # A session of its own: whatever it starts ends with it.
            self._process = subprocess.Popen(
                self._command,
                cwd=self._runs_in,
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
        """Read nothing more: it comes to a stop at its output."""
        self._reading.clear()

    def kill(self) -> None:
        """kill -9, and then read what it had put out; a line that was cut off does not count."""
        self.runs[-1].killed = self.running
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM; it has twenty seconds."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """Leave nothing of it behind, whatever became of the trial."""
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
        # What it started and left holds its output open, too.
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

"""Clock of a whole system: every process that is started with its environment shows the time that is set here.

A library that is loaded before all others (LD_PRELOAD) answers for the time of day. No program knows of it; their
monotonic clocks and waits stay real. A slow clock lets a system work for minutes within the last second before a day.
"""

import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

# Slow enough that all work is done within the second in which it begins; each microsecond is still another one.
SLOW: Final = 1000
_SOURCE: Final = Path(__file__).with_name("clock.c")
_VARIABLE: Final = "SET_CLOCK_FILE"
# As in clock.c: the index of the setting in force, and two settings (monotonic time, time shown, slowness, Kafka's).
_INDEX: Final = struct.Struct("=q")
_SETTING: Final = struct.Struct("=qqqq")
_BYTES: Final = _INDEX.size + 2 * _SETTING.size
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NoCompiler(Exception):
    """No C compiler is installed; the message says what to install."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A clock, by the file with its setting, and the library that shows it."""

    file: Path
    library: Path

    @classmethod
    def make(cls, folder: Path) -> "Clock":
        """Return a new clock in this folder, which PostgreSQL's own user can read. Raises NoCompiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise NoCompiler("A C compiler is needed: apt-get install gcc libc6-dev")
        clock = cls(file=folder / "clock", library=folder / "clock.so")
        options = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run((compiler, *options, "-o", str(clock.library), str(_SOURCE), "-ldl"), check=True)
        clock.file.write_bytes(_INDEX.pack(0) + 2 * _SETTING.pack(time.monotonic_ns(), 0, 1, 0))
        clock.library.chmod(0o755)
        clock.file.chmod(0o644)
        return clock

    @classmethod
    def of_this_process(cls) -> "Clock | None":
        """Return the clock that this process shows; None if it shows the real time."""
        file = os.environ.get(_VARIABLE)
        return None if file is None else cls(file=Path(file), library=Path(os.environ["LD_PRELOAD"]))

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of a process that shows this clock."""
        return {"LD_PRELOAD": str(self.library), _VARIABLE: str(self.file)}

    def set(self, moment: datetime, *, slowness: int = 1) -> None:
        """Have the clock show this moment now, and run on that many times slower than a real one.

        Kafka's is never slow and never goes back: it is ahead of a slow one by the time that this one has lost.
        """
        shown, now = (moment - _EPOCH) // timedelta(microseconds=1) * 1000, time.monotonic_ns()
        with self.file.open("r+b") as file, mmap.mmap(file.fileno(), _BYTES) as memory:
            (current,) = _INDEX.unpack_from(memory)
            before, _, _, kafka = _SETTING.unpack_from(memory, _offset(current))
            setting = _SETTING.pack(now, shown, slowness, max(shown, kafka + now - before))
            memory[_offset(1 - current) : _offset(1 - current) + _SETTING.size] = setting
            _INDEX.pack_into(memory, 0, 1 - current)


def _offset(index: int) -> int:
    return _INDEX.size + index * _SETTING.size

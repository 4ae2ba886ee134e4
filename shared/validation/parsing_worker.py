"""Worker process of the parsing pool: runs one function after the other, within limits enforced by the kernel."""

import importlib
import math
import pickle
import resource
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from shared.errors import Refused, Unavailable

# Processor time of one call, in whole seconds: waiting on a busy machine does not count.
CPU_SECONDS: Final = 2
# Beyond what is mapped once the libraries are loaded.
MEMORY_BYTES: Final = 128 * 1024 * 1024


def main(arguments: Sequence[str]) -> None:
    """Answer calls on the connection of this file descriptor; further arguments are modules to import first."""
    connection = Connection(int(arguments[0]))
    for name in arguments[1:]:
        importlib.import_module(name)
    _limit_memory(MEMORY_BYTES)
    with suppress(EOFError, BrokenPipeError):
        while True:
            message = connection.recv_bytes()
            _limit_cpu(CPU_SECONDS)
            connection.send_bytes(_answer(message))


def _answer(message: bytes) -> bytes:
    try:
        function, args, kwargs = pickle.loads(message)  # noqa: S301  (the pool of our own process)
        return pickle.dumps(("returned", function(*args, **kwargs)))
    except (Refused, Unavailable) as refused:
        answer: tuple[str, Any] = ("refused", refused)
    except MemoryError:
        answer = ("overran", None)
    except Exception:
        answer = ("failed", traceback.format_exc())
    return pickle.dumps(answer)


def _limit_cpu(seconds: int) -> None:
    """Let the kernel kill this process after so much more processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _limit_memory(more: int) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more, mapped + more))
    # No core dump: the memory may contain somebody's private key.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1:])

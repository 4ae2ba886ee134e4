"""Waits for a condition with a time limit, never for a length of time."""

import random
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final


class TookTooLong(Exception):
    """The condition did not come true within its time limit."""


def wait_until(condition: Callable[[], object], *, limit: float, what: str, every: float = 0.02) -> None:
    """Return as soon as the condition holds; say what was waited for if it does not within the limit."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TookTooLong(f"{what}: not within {limit:g} s")
        time.sleep(every)


def is_taken(port: int) -> bool:
    """Return whether someone listens on this loopback port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


# Given out by this process lately: most are bound seconds later, and until then look free.
_given: Final[deque[int]] = deque(maxlen=2_000)


def free_port() -> int:
    """Return a loopback port nobody uses, below the range that the kernel gives to outgoing connections."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """So many of them, one after another."""
    while True:
        first = random.randint(20_000, 32_000 - number)  # noqa: S311 (no secret)
        ports = list(range(first, first + number))
        if not any(port in _given or is_taken(port) for port in ports):
            _given.extend(ports)
            return ports

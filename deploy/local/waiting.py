"""Waits for a condition with a time limit, never for a fixed time."""

import random
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final


class TookTooLong(Exception):
    """The condition did not become true within its time limit."""


def wait_until(condition: Callable[[], object], *, limit: float, what: str, every: float = 0.02) -> None:
    """Wait until the condition holds. Raises TookTooLong that names it after the limit."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TookTooLong(f"{what}: not within {limit:g} s")
        time.sleep(every)


def is_taken(port: int) -> bool:
    """Return whether somebody listens on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


# Ports that this process gave out lately: most are bound seconds later, and look free until then.
_given: Final[deque[int]] = deque(maxlen=2_000)


def free_port() -> int:
    """Return an unused loopback port, below the range that the kernel uses for outgoing connections."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """Return several unused ports in a row."""
    while True:
        first = random.randint(20_000, 32_000 - number)  # noqa: S311 (no secret)
        ports = list(range(first, first + number))
        if not any(port in _given or is_taken(port) for port in ports):
            _given.extend(ports)
            return ports

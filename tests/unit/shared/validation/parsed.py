"""Functions that a parsing pool's workers call in its tests."""

import os
import time

from shared.errors import Refused


class Particular(Refused):
    """A refusal whose constructor does not take its own arguments."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"not these: {names}")
        self.names = names
        self.extensions = {"names": list(names)}


def double(number: int) -> int:
    return 2 * number


def environment() -> dict[str, str]:
    return dict(os.environ)


def spin() -> None:
    while True:
        pow(3, 10**5)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def fill() -> int:
    return len(bytearray(512 * 1024 * 1024))


def refuse() -> None:
    raise Particular(("a.hk", "b.hk"))


def fail() -> None:
    raise KeyError("a fault of ours")


def end() -> None:
    os._exit(1)

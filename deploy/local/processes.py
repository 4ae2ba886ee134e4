"""The process table: everything that runs, as data."""

import importlib.util
from pathlib import Path
from typing import Final

_ENVOY: Final = importlib.util.find_spec("envoy")


def envoy_command(configuration: Path) -> tuple[str, ...]:
    """The gateway as a foreground process."""
    binary = Path(_ENVOY.origin if _ENVOY and _ENVOY.origin else "missing").parent / "_bin" / "envoy"
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    return ("setpriv", "--pdeathsig", "TERM", str(binary), "-c", str(configuration), *options)

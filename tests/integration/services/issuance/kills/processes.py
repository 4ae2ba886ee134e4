"""Real processes of issuance, forked from one that has loaded its code, with a journal of all that the CA's key signs.

Each is killed at a point, or runs to its end. Only the perspectives are not real: they have tests of their own.
"""

import multiprocessing
import os
import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from services.issuance import main, validate_main
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.signer import SoftwareSigner
from shared.runtime.command_line import run
from tests.integration.services.issuance.kills.points import Point
from tests.integration.services.issuance.zone import Zone

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.integration.services.issuance.kills.warm"])
_PATIENCE: Final = 40.0
_SIGNATURE_BYTES: Final = 384


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Starter of processes with one environment and one journal, a folder."""

    environment: Mapping[str, str]
    journal: Path

    def killed_at(self, point: Point, arguments: Sequence[str], zone: Zone) -> ForkServerProcess:
        """Start a process that is killed at the point."""
        return self._start(arguments, zone, point)

    def run(self, *arguments: str) -> int | None:
        """Run a command to its end. Returns its exit status."""
        return ended(self._start(arguments, Zone(), None))

    @contextmanager
    def running(self, *commands: str, zone: Zone) -> Iterator[None]:
        """Run these processes until the block ends; each must then end well."""
        started = [self._start([command], zone, None) for command in commands]
        try:
            yield
        finally:
            for each in started:
                each.terminate()
            assert [ended(each) for each in started] == [0] * len(started)

    def signed(self) -> list[tuple[bytes, bytes]]:
        """Return what the CA's key has signed in any process, with the signatures."""
        found = [file.read_bytes() for file in self.journal.iterdir()]
        return [(each[_SIGNATURE_BYTES:], each[:_SIGNATURE_BYTES]) for each in found]

    def _start(self, arguments: Sequence[str], zone: Zone, point: Point | None) -> ForkServerProcess:
        process = _CONTEXT.Process(
            target=_run, args=(dict(self.environment), [*arguments], self.journal, zone, point), daemon=True
        )
        process.start()
        return process


def ended(process: ForkServerProcess) -> int | None:
    """Return how a process ended; one that does not end is killed."""
    process.join(_PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def is_killed(process: ForkServerProcess) -> bool:
    """Return whether the process ends by SIGKILL of its own."""
    return ended(process) == -signal.SIGKILL


def _run(environment: dict[str, str], arguments: Sequence[str], journal: Path, zone: Zone, point: Point | None) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    _keep(journal, Path(environment["CA_CERTIFICATE_FILE"]), Path(environment["CA_CHAIN_FILE"]))
    vars(validate_main)["Perspectives"] = lambda *_: zone
    if point is not None:
        point.install()
    run(main.SERVICE, arguments)


def write_down(journal: Path, entry: bytes) -> None:
    """Write a signature of the CA's key and what was signed; killed thereafter, a process has nothing else of it."""
    (journal / uuid.uuid4().hex).write_bytes(entry)


def _keep(journal: Path, certificate: Path, chain: Path) -> None:
    """Write down each signature of the CA's key before anybody has it."""
    own, sign = IssuingCA.load(certificate, chain).certificate.public_key(), SoftwareSigner.sign

    def signed(self: SoftwareSigner, to_be_signed: bytes) -> bytes:
        signature = sign(self, to_be_signed)
        if self._key.public_key() == own:
            write_down(journal, signature + to_be_signed)
        return signature

    SoftwareSigner.sign = signed  # type: ignore[method-assign]  # in a process of this test alone

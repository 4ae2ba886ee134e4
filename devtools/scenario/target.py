"""The system that the scripted AR uses: a running one, or one started for the purpose."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import stack
from deploy.local.checks import ENGINES, READY, RunsAlready
from deploy.local.dns.updates import Updates
from deploy.local.installation import CannotStart, Installation
from deploy.local.leftovers import memory_of
from deploy.local.run import Progress, running
from devtools.scenario.ar import AR, ECert
from devtools.scenario.gateway_client import Gateway
from devtools.scenario.journey import Journey
from devtools.scenario.postbox import Postbox

START_SECONDS: Final = 300


@dataclass(frozen=True, kw_only=True)
class Target:
    """Addresses and files that an AR, a clerk and a relying party have."""

    installation: Installation
    patience: float = 0.0

    @property
    def root(self) -> Path:
        """The root certificate of the server certificates."""
        return self.installation.pki.server / "root.pem"

    @property
    def inbox_url(self) -> str:
        """The address of the AR's inbox."""
        return f"http://127.0.0.1:{self.installation.ports.mailbox}"

    def publish(self, name: str, text: str) -> None:
        """Put a TXT record into the DNS of the system."""
        Updates(self.installation.dns, self.installation.ports.dns).publish(name, "TXT", text)

    def ecert(self, name: str) -> ECert:
        """Return a sample e-Cert by its file name."""
        people = self.installation.pki.people
        return ECert(certificate=people / f"{name}.pem", key=people / f"{name}.key")

    def journey(
        self,
        srns: list[str],
        folder: Path,
        *,
        person: str = "chan-mei-ling",
        postbox: Postbox | None = None,
        traceparent: str | None = None,
    ) -> Journey:
        """Return a renewal of these subscriptions that has not started.

        Parallel renewals share a postbox, which opens each letter once.
        """
        gateway = Gateway(
            port=self.installation.ports.gateway,
            ca_file=self.installation.pki.gateway / "root.pem",
            patience=self.patience,
            traceparent=traceparent,
        )
        return Journey(
            ar=AR(gateway=gateway, ecert=self.ecert(person), folder=folder, publish=self.publish),
            postbox=postbox or Postbox(folder=self.installation.posting),
            inbox_url=self.inbox_url,
            srns=srns,
            patience=self.patience,
        )

    def mailing_environment(self) -> dict[str, str]:
        """Return the environment of mailing's commands."""
        return stack.service_environment(self.installation, "mailing", stack.outside())

    def memory_bytes(self) -> int:
        """Return the proportional set size of all processes together."""
        return sum(memory_of(self.installation.folder).values())


@contextmanager
def find_or_start(folder: Path, say: Progress) -> Iterator[Target]:
    """Yield the system of this folder if it runs; else start it for the duration of the block.

    Raises CannotStart.
    """
    with ExitStack() as ours:
        until = time.monotonic() + START_SECONDS
        held = _start(ours, folder, say)
        if held and held.state != READY:
            say(f"The system is {held.state}: waiting")
        while held and held.state != READY:
            if held.state == ENGINES:
                raise CannotStart(f"The system runs from {folder} without its services: stop it, then `make run`")
            if time.monotonic() > until:
                raise CannotStart(f"The system is {held.state} for {START_SECONDS} s now: see {folder / 'logs'}")
            time.sleep(0.5)
            held = _start(ours, folder, say)
        yield Target(installation=Installation.that_runs(folder))


def _start(ours: ExitStack, folder: Path, say: Progress) -> RunsAlready | None:
    """Start the system. Returns RunsAlready if another process runs it."""
    try:
        ours.enter_context(running(Installation.open(folder), say))
    except RunsAlready as held:
        return held
    return None

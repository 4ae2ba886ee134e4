"""The system that the scripted AR meets: the one that runs here, or one started for the purpose."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.ar import AR, ECert
from deploy.demo.journey import Journey
from deploy.demo.postbox import Postbox
from deploy.demo.public import Gateway
from deploy.local import stack
from deploy.local.installation import Installation
from deploy.local.leftovers import memory_of
from deploy.local.run import Progress, running


@dataclass(frozen=True, kw_only=True)
class Target:
    """Addresses and files that an AR, a clerk and a relying party have in their hands."""

    installation: Installation
    patience: float = 0.0

    @property
    def root(self) -> Path:
        """The root of the server certificates."""
        return self.installation.pki.server / "root.pem"

    @property
    def inbox_url(self) -> str:
        """The AR's inbox."""
        return f"http://127.0.0.1:{self.installation.ports.mailbox}"

    def ecert(self, name: str) -> ECert:
        """A sample e-Cert by its file name."""
        people = self.installation.pki.people
        return ECert(certificate=people / f"{name}.pem", key=people / f"{name}.key")

    def journey(self, srns: list[str], folder: Path, *, person: str = "chan-mei-ling") -> Journey:
        """A renewal of these subscriptions, not begun yet."""
        gateway = Gateway(
            port=self.installation.ports.gateway,
            ca_file=self.installation.pki.gateway / "root.pem",
            patience=self.patience,
        )
        return Journey(
            ar=AR(gateway=gateway, ecert=self.ecert(person), folder=folder),
            postbox=Postbox(folder=self.installation.posting),
            inbox_url=self.inbox_url,
            srns=srns,
            patience=self.patience,
        )

    def mailing_environment(self) -> dict[str, str]:
        """For mailing's operator commands."""
        return stack.service_environment(self.installation, "mailing", stack.outside())

    def memory_bytes(self) -> int:
        """Proportional set size of all its processes together."""
        return sum(memory_of(self.installation.folder).values())


@contextmanager
def find_or_start(installation: Installation) -> Iterator[Target]:
    """The system if it runs; if not, started for as long as the block lasts."""
    if _answers(installation.ports.gateway):
        yield Target(installation=installation)
        return
    with running(installation, Progress()):
        yield Target(installation=installation)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0

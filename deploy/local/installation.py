"""One installation of the system on this machine: its folder, ports, passwords, and what follows from them."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from deploy.gateway.envoy import Gateway, Network
from deploy.local import kafka, pki, postgres
from deploy.local.passwords import load_passwords, write_private
from deploy.local.topics import PRINCIPALS
from deploy.local.waiting import free_ports

ROOT: Final = Path(__file__).parents[2]
DEFAULT_FOLDER: Final = ROOT / ".local"
# What was fetched once serves `make run` and the tests alike.
CACHE: Final = ROOT / ".local" / "cache"
_LONGEST_SOCKET_PATH: Final = 100
# Processes of the services, each with a port for its page from `admin` on.
PAGES_AT_MOST: Final = 40
_NAMES: Final = (
    *("postgres/superuser", "kafka/admin", "sandbox/api-key", "sandbox/webhook"),
    *(f"postgres/{role}" for role in postgres.ROLES),
    *(f"kafka/{principal}" for principal in PRINCIPALS),
    *pki.PASSWORDS,
)


class CannotStart(Exception):
    """Something on this machine stands in the way; the message says what, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports; each can be set as ECERT_PORT_<NAME>. The pages of the processes begin at `admin`."""

    gateway: int = 8443
    mailbox: int = 8025
    sandbox: int = 8090
    smtp: int = 2525
    postgres: int = 15432
    kafka: int = 19092
    kafka_controller: int = 19093
    admin: int = 9400

    @classmethod
    def choose(cls, saved: Mapping[str, int]) -> "Ports":
        """Return the defaults, what was used last time, and what the environment says, in that order.

        Raises CannotStart.
        """
        named = {each.name: os.environ.get(f"ECERT_PORT_{each.name.upper()}") for each in fields(cls)}
        return cls(**{**saved, **{name: _port(name, value) for name, value in named.items() if value}})

    @classmethod
    def free(cls) -> "Ports":
        """Ports nobody uses now, for a system beside another."""
        names = [each.name for each in fields(cls)]  # the last of them is `admin`: what follows it is free too
        return cls(**dict(zip(names, free_ports(len(names) + PAGES_AT_MOST), strict=False)))


def _port(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
        raise CannotStart(f"ECERT_PORT_{name.upper()} is {value!r}: set it to a port number, or unset it")
    return int(value)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything is under its folder; a second start finds it again."""

    folder: Path
    ports: Ports
    passwords: Mapping[str, str] = field(repr=False)
    # Where the services are, if not behind sockets in this folder.
    network: Network | None = None

    @classmethod
    def open(cls, folder: Path = DEFAULT_FOLDER, ports: Ports | None = None) -> "Installation":
        """Return the installation in this folder, begun if it is new.

        What it is opened with is kept by `keep_ports`.
        """
        folder = folder.resolve()
        # Root's PostgreSQL runs as another user, who must get through to its data; the files have modes of their own.
        folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        ports = ports or Ports.choose(_kept_ports(folder))
        return cls(folder=folder, ports=ports, passwords=load_passwords(folder / "passwords.json", _NAMES))

    @classmethod
    def that_runs(cls, folder: Path) -> "Installation":
        """Return the installation in this folder as whoever runs it has opened it, whatever our environment says."""
        return cls.open(folder, Ports(**_kept_ports(folder)))

    def keep_ports(self) -> None:
        """Let the next start find the same ports; for whoever runs the installation, or it would be told wrong ones."""
        write_private(self.folder / "ports.json", json.dumps(asdict(self.ports), indent=1) + "\n")

    @property
    def logs(self) -> Path:
        """A log for each process."""
        return self.folder / "logs"

    @property
    def sockets(self) -> Path:
        """Unix sockets; elsewhere if the folder's path is too long for one."""
        inside = self.folder / "run"
        if len(str(inside)) < _LONGEST_SOCKET_PATH - len("/application-operate.sock"):
            return inside
        return Path("/tmp") / f"ecert-{os.geteuid()}-{hashlib.sha256(bytes(inside)).hexdigest()[:12]}"  # noqa: S108

    def operators_socket(self, service: str) -> Path:
        """Return where the desk alone operates a service."""
        return self.sockets / f"{service}-operate.sock"

    @property
    def kit_environment(self) -> Path:
        """What the consumer kit is told, for a shell to read."""
        return self.folder / "backoffice.env"

    @property
    def posting(self) -> Path:
        """Where the print process leaves batches for the post."""
        return self.folder / "posting"

    @property
    def pki(self) -> pki.PKI:
        """Keys and certificates."""
        return pki.PKI(self.folder / "pki")

    @property
    def cluster(self) -> postgres.Cluster:
        """PostgreSQL; it archives its WAL if there is a folder for that."""
        return postgres.Cluster(
            folder=self.folder / "postgres",
            port=self.ports.postgres,
            password=self.passwords["postgres/superuser"],
            archive=self.wal_archive if self.wal_archive.exists() else None,
        )

    @property
    def wal_archive(self) -> Path:
        """The folder of archived WAL files."""
        return self.folder / "wal-archive"

    @property
    def broker(self) -> kafka.Broker:
        """Kafka."""
        return kafka.Broker(
            folder=self.folder / "kafka",
            cache=CACHE,
            port=self.ports.kafka,
            controller_port=self.ports.kafka_controller,
            password=self.passwords["kafka/admin"],
        )

    @property
    def gateway(self) -> Gateway:
        """Envoy."""
        return Gateway(
            port=self.ports.gateway,
            certificate=self.pki.gateway / "tls.pem",
            key=self.pki.gateway / "tls.key",
            client_cas=self.pki.client_cas,
            sockets=self.sockets,
            admin_socket=self.sockets / "envoy-admin.sock",
            network=self.network,
        )

    def password_of(self, kind: str) -> dict[str, str]:
        """Return all passwords of one kind ("postgres", "kafka"), by name."""
        return {
            name.removeprefix(f"{kind}/"): secret
            for name, secret in self.passwords.items()
            if name.startswith(f"{kind}/")
        }


def _kept_ports(folder: Path) -> dict[str, int]:
    kept = folder / "ports.json"
    return dict(json.loads(kept.read_text())) if kept.exists() else {}

"""Installation of the system on this machine: its folder, ports, passwords, and everything derived from them."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from deploy.gateway.envoy import Gateway, Network
from deploy.kafka.topics import PRINCIPALS
from deploy.local import kafka, pki, postgres
from deploy.local.passwords import load_passwords, write_private
from deploy.local.perspectives import PLACES
from deploy.local.waiting import free_ports
from deploy.postgres.roles import ROLES

ROOT: Final = Path(__file__).parents[2]
DEFAULT_FOLDER: Final = ROOT / ".local"
# Downloads are shared by `make run` and the tests.
CACHE: Final = ROOT / ".local" / "cache"
_MAX_SOCKET_PATH: Final = 100
# Number of processes with an admin port, each from `admin` on.
MAX_PAGES: Final = 52
# After these ports, one for each perspective's resolver, one for each perspective, and two in place of 80 and 443.
PORTS_FROM_ADMIN: Final = MAX_PAGES + 2 * len(PLACES) + 2
_NAMES: Final = (
    *("postgres/superuser", "kafka/admin", "sandbox/api-key", "sandbox/webhook"),
    *(f"postgres/{role}" for role in ROLES),
    *(f"kafka/{principal}" for principal in PRINCIPALS),
    *pki.PASSWORDS,
)


class CannotStart(Exception):
    """The system cannot start on this machine; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports; each can be set as ECERT_PORT_<NAME>. The admin ports of the processes begin at `admin`;
    those of perspectives and their resolvers follow.
    """

    gateway: int = 8443
    publication: int = 8088
    mailbox: int = 8025
    sandbox: int = 8090
    transparency: int = 8091
    smtp: int = 2525
    postgres: int = 15432
    kafka: int = 19092
    kafka_controller: int = 19093
    dns: int = 15353
    admin: int = 9400

    @classmethod
    def choose(cls, saved: Mapping[str, int]) -> "Ports":
        """Return the ports: the defaults, overridden by the last start's, overridden by the environment.

        Raises CannotStart.
        """
        named = {each.name: os.environ.get(f"ECERT_PORT_{each.name.upper()}") for each in fields(cls)}
        return cls(**{**saved, **{name: _port(name, value) for name, value in named.items() if value}})

    @classmethod
    def free(cls) -> "Ports":
        """Return unused ports, for a system beside another."""
        names = [each.name for each in fields(cls)]  # the last one is `admin`: the ports after it are free, too
        return cls(**dict(zip(names, free_ports(len(names) + PORTS_FROM_ADMIN), strict=False)))


def _port(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
        raise CannotStart(f"ECERT_PORT_{name.upper()} is {value!r}: set it to a port number, or unset it")
    return int(value)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An installation, with everything under its folder; a second start uses it again."""

    folder: Path
    ports: Ports
    passwords: Mapping[str, str] = field(repr=False)
    # Network of the services, unless they are behind sockets in this folder.
    network: Network | None = None

    @classmethod
    def open(cls, folder: Path = DEFAULT_FOLDER, ports: Ports | None = None) -> "Installation":
        """Return the installation in this folder; a new one if there is none.

        `keep_ports` stores its ports.
        """
        folder = folder.resolve()
        # Root's PostgreSQL runs as another user, who needs access to its data; the files have modes of their own.
        folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        ports = ports or Ports.choose(_kept_ports(folder))
        return cls(folder=folder, ports=ports, passwords=load_passwords(folder / "passwords.json", _NAMES))

    @classmethod
    def that_runs(cls, folder: Path) -> "Installation":
        """Return the running installation of this folder with the ports of the process that runs it, whatever our
        environment is.
        """
        return cls.open(folder, Ports(**_kept_ports(folder)))

    def keep_ports(self) -> None:
        """Store the ports for the next start. Only the process that runs the installation calls this."""
        write_private(self.folder / "ports.json", json.dumps(asdict(self.ports), indent=1) + "\n")

    @property
    def logs(self) -> Path:
        """The folder of log files, one for each process."""
        return self.folder / "logs"

    @property
    def sockets(self) -> Path:
        """The folder of Unix sockets; elsewhere if the installation's path is too long for one."""
        inside = self.folder / "run"
        if len(str(inside)) < _MAX_SOCKET_PATH - len("/application-operate.sock"):
            return inside
        return Path("/tmp") / f"ecert-{os.geteuid()}-{hashlib.sha256(bytes(inside)).hexdigest()[:12]}"  # noqa: S108 (made with mode 0700)

    @property
    def transparency(self) -> Path:
        """The folder of the transparency logs: their keys, entries and log list."""
        return self.folder / "transparency"

    @property
    def transparency_url(self) -> str:
        """The address of the transparency logs; each has a path of its own."""
        return f"http://127.0.0.1:{self.ports.transparency}"

    def operators_socket(self, service: str) -> Path:
        """Return the socket of a service's operator API, for the desk."""
        return self.sockets / f"{service}-operate.sock"

    @property
    def kit_environment(self) -> Path:
        """The file with the consumer kit's environment, for a shell to read."""
        return self.folder / "backoffice.env"

    @property
    def dns(self) -> Path:
        """The folder of the DNS zone: its records, its keys, its trust anchor and the key of updates."""
        return self.folder / "dns"

    @property
    def resolver_ports(self) -> Mapping[str, int]:
        """The port of each perspective's resolver."""
        return {place.name: self.ports.admin + MAX_PAGES + number for number, place in enumerate(PLACES)}

    @property
    def perspective_ports(self) -> Mapping[str, int]:
        """The port of each perspective."""
        return {name: port + len(PLACES) for name, port in self.resolver_ports.items()}

    @property
    def file_ports(self) -> tuple[int, int]:
        """The ports from which perspectives fetch validation files, in place of 80 and 443; nothing listens there."""
        first = self.ports.admin + MAX_PAGES + 2 * len(PLACES)
        return first, first + 1

    @property
    def posting(self) -> Path:
        """The folder into which the print process writes posting batches."""
        return self.folder / "posting"

    @property
    def pki(self) -> pki.PKI:
        """Keys and certificates."""
        return pki.PKI(self.folder / "pki")

    @property
    def cluster(self) -> postgres.Cluster:
        """PostgreSQL; it archives its WAL if there is a folder for it."""
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
            plain_port=self.ports.publication,
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

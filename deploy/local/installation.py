"""One installation of the system on this machine: its folder, ports, passwords, and what follows from them."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from deploy.gateway.envoy import Gateway
from deploy.local import kafka, pki, postgres
from deploy.local.passwords import load_passwords, write_private
from deploy.local.people import SAMPLES
from deploy.local.topics import PRINCIPALS
from deploy.local.waiting import free_port

ROOT: Final = Path(__file__).parents[2]
DEFAULT_FOLDER: Final = ROOT / ".local"
# What was fetched once serves `make run` and the tests alike.
CACHE: Final = ROOT / ".local" / "cache"
_LONGEST_SOCKET_PATH: Final = 100
_NAMES: Final = (
    *("postgres/superuser", "kafka/admin", "sandbox/api-key", "sandbox/webhook"),
    *(f"postgres/{role}" for role in postgres.ROLES),
    *(f"kafka/{principal}" for principal in PRINCIPALS),
    *(pki.sample_password(sample) for sample in SAMPLES),
)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports; each can be set as ECERT_PORT_<NAME>. Loops' own pages begin at `admin`."""

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
        """The defaults, what was used last time, and what the environment says, in that order."""
        named = {each.name: os.environ.get(f"ECERT_PORT_{each.name.upper()}") for each in fields(cls)}
        return cls(**{**saved, **{name: int(value) for name, value in named.items() if value}})

    @classmethod
    def free(cls) -> "Ports":
        """Ports nobody uses now, for a system beside another."""
        return cls(**{each.name: free_port() for each in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything is under its folder; a second start finds it again."""

    folder: Path
    ports: Ports
    passwords: Mapping[str, str] = field(repr=False)

    @classmethod
    def open(cls, folder: Path = DEFAULT_FOLDER, ports: Ports | None = None) -> "Installation":
        """The installation in this folder, begun if it is new."""
        folder = folder.resolve()
        # Root's PostgreSQL runs as another user, who must get through to its data; the files have modes of their own.
        folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        saved = folder / "ports.json"
        if ports is None:
            ports = Ports.choose(json.loads(saved.read_text()) if saved.exists() else {})
        write_private(saved, json.dumps(asdict(ports), indent=1) + "\n")
        return cls(folder=folder, ports=ports, passwords=load_passwords(folder / "passwords.json", _NAMES))

    @property
    def logs(self) -> Path:
        """A log for each process."""
        return self.folder / "logs"

    @property
    def sockets(self) -> Path:
        """Unix sockets; elsewhere if the folder's path is too long for one."""
        inside = self.folder / "run"
        if len(str(inside)) < _LONGEST_SOCKET_PATH - len("/application.sock"):
            return inside
        return Path("/tmp") / f"ecert-{os.geteuid()}-{hashlib.sha256(bytes(inside)).hexdigest()[:12]}"  # noqa: S108

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
        """PostgreSQL."""
        return postgres.Cluster(
            folder=self.folder / "postgres", port=self.ports.postgres, password=self.passwords["postgres/superuser"]
        )

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
            client_cas=self.pki.gateway / "client-cas.pem",
            sockets=self.sockets,
            admin_socket=self.sockets / "envoy-admin.sock",
        )

    def password_of(self, kind: str) -> dict[str, str]:
        """All passwords of one kind ("postgres", "kafka"), by name."""
        return {
            name.removeprefix(f"{kind}/"): secret
            for name, secret in self.passwords.items()
            if name.startswith(f"{kind}/")
        }

"""Process table: everything that runs, as data."""

import importlib.util
import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from deploy.gateway.rules import FEED, PORTAL
from deploy.local import stack
from deploy.local.installation import ROOT, Installation
from deploy.local.samples import SUBSCRIPTIONS
from deploy.local.stack import Outside
from deploy.postgres.roles import DESK, SERVICES, package

LOOPS: Final = ("consume", "relay", "work")
# identity subscribes to nothing, the desk announces nothing.
_LOOPS_OF: Final = {"identity": ("relay", "work"), DESK: ("consume", "work")}
_ENVOY: Final = importlib.util.find_spec("envoy")
_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "TERM")


class Group(StrEnum):
    """Groups of processes that start together, and stop together in the reverse order."""

    ENGINES = "engines"
    SERVICES = "services"
    EDGE = "edge"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process. `admin_port` has its readiness; it listens on `port` and on `other_ports`."""

    name: str
    group: Group
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    stop_signal: str = "TERM"
    stop_seconds: int = 25
    port: int | None = None
    other_ports: tuple[int, ...] = ()
    admin_port: int | None = None

    @property
    def needs_kafka(self) -> bool:
        """Whether the process ends at once if Kafka is unavailable."""
        return self.group is Group.SERVICES and self.command[-1] in ("consume", "relay")

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports of the process."""
        return tuple(port for port in (self.port, self.admin_port, *self.other_ports) if port is not None)


def table(installation: Installation, there: Outside) -> tuple[Process, ...]:
    """Return all processes of this installation."""
    return (
        *_engines(installation, there),
        *_edge(installation, there),
        *_services(installation, there),
    )


def envoy_command(configuration: Path) -> tuple[str, ...]:
    """Return the gateway as a foreground process."""
    binary = Path(_ENVOY.origin if _ENVOY and _ENVOY.origin else "missing").parent / "_bin" / "envoy"
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    return (*_WITH_PARENT, str(binary), "-c", str(configuration), *options)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (*_WITH_PARENT, sys.executable, "-m", module, *arguments)


def _engines(installation: Installation, there: Outside) -> list[Process]:
    base = stack.base_environment(installation)
    ports = installation.ports
    engines = []
    if not there.every_database:
        engines.append(
            Process(
                name="postgres",
                group=Group.ENGINES,
                command=installation.cluster.command(),
                environment=base,
                stop_signal="INT",
                port=ports.postgres,
            )
        )
    if not there.kafka:
        engines.append(
            Process(
                name="kafka",
                group=Group.ENGINES,
                command=installation.broker.command(),
                environment=base,
                port=ports.kafka,
                other_ports=(ports.kafka_controller,),
            )
        )
    return engines


def _edge(installation: Installation, there: Outside) -> list[Process]:
    base, ports, pki = stack.base_environment(installation), installation.ports, installation.pki
    smtp, page = ("--smtp-port", str(ports.smtp)), ("--http-port", str(ports.mailbox))
    folder = ("--folder", str(installation.folder / "mail"))
    store = str(installation.folder / "sandbox" / "payments.sqlite")
    places = (pki.client_ca_keys, pki.client_crls, pki.staff_ca_keys, pki.staff_crls)
    mail = Process(
        name="mailbox",
        group=Group.EDGE,
        command=_python("deploy.local.mailbox", *smtp, *page, *folder),
        environment=base,
        port=ports.mailbox,
        other_ports=(ports.smtp,),
    )
    return [
        Process(
            name="gateway",
            group=Group.EDGE,
            command=envoy_command(installation.folder / "envoy.json"),
            environment=base,
            port=ports.gateway,
            other_ports=(ports.publication,),
        ),
        *(() if there.mail else (mail,)),
        Process(
            name="payment-sandbox",
            group=Group.EDGE,
            command=_python("devtools.payment_sandbox", "--port", str(ports.sandbox), "--store", store),
            environment=stack.sandbox_environment(installation),
            port=ports.sandbox,
        ),
        Process(
            name="transparency-logs",
            group=Group.EDGE,
            command=_python(
                "deploy.local.ct",
                *("--port", str(ports.transparency), "--folder", str(installation.transparency)),
                *("--roots", str(pki.server / "root.pem")),
            ),
            environment=base,
            port=ports.transparency,
        ),
        _dns(installation, base),
        _perspectives(installation, there),
        Process(
            name="crls",
            group=Group.EDGE,
            command=_python("deploy.local.refresh_crls", *map(str, places)),
            environment=base,
        ),
    ]


def _dns(installation: Installation, environment: Mapping[str, str]) -> Process:
    hosts = sorted({name.removeprefix("*.") for each in SUBSCRIPTIONS for name in each.server_names})
    resolvers = tuple(installation.resolver_ports.values())
    return Process(
        name="dns",
        group=Group.EDGE,
        command=_python(
            "deploy.local.dns.serving",
            *("--folder", str(installation.dns), "--port", str(installation.ports.dns)),
            *("--resolver-ports", *map(str, resolvers), "--hosts", *hosts),
        ),
        environment=environment,
        port=installation.ports.dns,
        other_ports=resolvers,
    )


def _perspectives(installation: Installation, there: Outside) -> Process:
    ports, resolvers = installation.perspective_ports, installation.resolver_ports
    first, *others = ports.values()
    return Process(
        name="perspectives",
        group=Group.EDGE,
        command=_python(
            "deploy.local.perspective_processes",
            *("--folder", str(installation.pki.perspectives)),
            *(f"{name}:{port}:{resolvers[name]}" for name, port in ports.items()),
        ),
        environment=stack.perspectives_environment(installation, there),
        port=first,
        other_ports=tuple(others),
    )


def _services(installation: Installation, there: Outside) -> list[Process]:
    ports = itertools.count(installation.ports.admin)
    found: list[Process] = []
    for service in SERVICES:
        environment = stack.service_environment(installation, service, there)
        module = f"{package(service)}.main"
        web_environment = stack.desk_web_environment(installation, there) if service == DESK else environment
        found.append(_web(service, module, installation, web_environment, next(ports)))
        if service in stack.OPERATED:
            operating = stack.operate_environment(installation, service, there)
            found.append(_ready_at(next(ports), f"{service}-operate", module, "operate", operating))
        for loop in _LOOPS_OF.get(service, LOOPS):
            told = stack.relay_environment(installation, service, there) if loop == "relay" else environment
            found.append(_ready_at(next(ports), f"{service}-{loop}", module, loop, told))
    validating = stack.validate_environment(installation, there)
    found.append(_ready_at(next(ports), "issuance-validate", "services.issuance.main", "validate", validating))
    print_environment = stack.print_environment(installation, there)
    found.append(_ready_at(next(ports), "mailing-print", "services.mailing.main", "print", print_environment))
    bound = {"BIND": f"unix:{installation.gateway.socket(FEED)}"}
    feed_environment = {**stack.feed_environment(installation, there), **bound}
    found.append(_ready_at(next(ports), FEED, "services.issuance.main", "feed", feed_environment))
    if has_portal():
        environment = stack.portal_environment(installation, there)
        found.append(_web(PORTAL, "portal.main", installation, environment, next(ports)))
    return found


def has_portal() -> bool:
    """Return whether this checkout contains the portal."""
    return (ROOT / PORTAL / "main.py").exists()


def _web(
    name: str, module: str, installation: Installation, environment: Mapping[str, str], admin_port: int
) -> Process:
    """Return a process that serves HTTP on a socket for the gateway only."""
    bound = {**environment, "BIND": f"unix:{installation.gateway.socket(name)}"}
    return _ready_at(admin_port, f"{name}-web", module, "web", bound)


def _ready_at(admin_port: int, name: str, module: str, command: str, environment: Mapping[str, str]) -> Process:
    return Process(
        name=name,
        group=Group.SERVICES,
        command=_python(module, command),
        environment={**environment, "ADMIN_PORT": str(admin_port)},
        admin_port=admin_port,
    )

"""docs/configuration.md: every environment variable, from the declarations that read it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn
from unittest import mock

import backoffice.desk.settings
import backoffice.kit.settings
import perspective.settings
import portal.settings
import services.application.settings
import services.identity.settings
import services.issuance.feed.settings
import services.issuance.settings
import services.mailing.print_settings
import services.mailing.settings
import services.payment.settings
from deploy.local.installation import Ports
from devtools.docs.markdown import code, table
from shared import settings
from shared.settings import REQUIRED, Env, Variable

FILE: Final = Path("docs/configuration.md")
_HEAD: Final = """# Configuration

Written by `make docs` from the declarations in the code (`shared/settings.py` and each `settings.py`); a test compares
them. Every process reads its variables once, when it starts, and names all that are missing or wrong. A variable that
ends in `_FILE` or `_DIR` holds a path. "Secret" means that the value itself is secret and belongs into a Secret; most
keys are files, whose contents are secret. `make run` sets all of them (`deploy/local/stack.py`); in Kubernetes
`deploy/k8s/` does. An optional group (TLS, the CA's token, the feed over HTTP) is read if one of its variables is set.
"""
_PREFIX: Final = "SERVICE"
_TRACING: Final = """## Tracing

Read by OpenTelemetry itself, in every process: without an endpoint no traces are sent.
"""
_LOCAL: Final = """## This machine

Read by `make run`, the tests and the builds of images. If `KAFKA_BOOTSTRAP_SERVERS`, `<SERVICE>_DATABASE_URL` or
`SMTP_URL` is set, `make run` uses that server instead of its own.
"""


class _Declared(Exception):
    """The reading has come to its end; what was declared until then."""

    def __init__(self, variables: Iterable[Variable]) -> None:
        super().__init__()
        self.variables = [*variables]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Function that reads settings, and the processes that call it."""

    title: str
    processes: str
    read: Callable[[], object]


def _every_service() -> None:
    env = settings.read_env()
    settings.read_service(env, _PREFIX)
    settings.seal(env)


READERS: Final[Sequence[Reader]] = (
    Reader(
        title="Every service and the desk",
        processes="Every process and command but `print` and `feed`. `<SERVICE>` stands for IDENTITY, DESK and so on.",
        read=_every_service,
    ),
    Reader(
        title="Every service that the desk operates",
        processes="`operate` of application, payment, mailing and issuance.",
        read=settings.read_desk_jwks_file,
    ),
    Reader(title="identity", processes="Every process and command.", read=services.identity.settings.read_settings),
    Reader(
        title="application", processes="Every process and command.", read=services.application.settings.read_settings
    ),
    Reader(title="payment", processes="Every process and command.", read=services.payment.settings.read_settings),
    Reader(
        title="mailing",
        processes="Every process and command but `print`.",
        read=services.mailing.settings.read_settings,
    ),
    Reader(title="mailing: print", processes="`print`.", read=services.mailing.print_settings.read_settings),
    Reader(
        title="issuance",
        processes="Every process and command but `feed`; each opens only the key files that it needs.",
        read=services.issuance.settings.read_settings,
    ),
    Reader(title="issuance: feed", processes="`feed`.", read=services.issuance.feed.settings.read_settings),
    Reader(title="The desk", processes="Every process and command.", read=backoffice.desk.settings.read_settings),
    Reader(title="The desk: web", processes="`web`.", read=backoffice.desk.settings.read_operators),
    Reader(title="The portal", processes="`web`.", read=portal.settings.read),
    Reader(title="A perspective", processes="`web`.", read=perspective.settings.read),
    Reader(
        title="The consumer kit",
        processes="`python -m backoffice`; over HTTP alone nothing of Kafka is needed, and the other way round.",
        read=lambda: backoffice.kit.settings.read_settings(needs_kafka=True, needs_http=True),
    ),
)


def declared(reader: Reader) -> list[tuple[Variable, bool]]:
    """Return what a reader declares, each with whether it belongs to an optional group."""
    plain = {variable.name: variable for variable in _read(reader, with_groups=False)}
    return [
        (plain.get(variable.name, variable), variable.name not in plain) for variable in _read(reader, with_groups=True)
    ]


def _read(reader: Reader, *, with_groups: bool) -> list[Variable]:
    def seal(env: Env) -> NoReturn:
        raise _Declared(env.declared.values())

    operators = {"OPERATORS": "payment=https://payment" if with_groups else "payment=unix:/payment"}
    with (
        mock.patch.object(Env, "seal", seal),
        mock.patch.object(Env, "is_set", return_value=with_groups),
        mock.patch.dict(os.environ, operators, clear=True),
    ):
        try:
            reader.read()
        except _Declared as found:
            return found.variables
    raise AssertionError(f"{reader.title} sealed nothing")


def text() -> str:
    """Return docs/configuration.md."""
    common = [variable.name for variable, _ in declared(READERS[0])]
    sections = [_section(reader, [*_own(reader, common)]) for reader in READERS]
    return "\n".join((_HEAD, *sections, _TRACING, _plain(TRACING), _LOCAL, _plain(local())))


def _own(reader: Reader, common: Iterable[str]) -> Iterable[tuple[Variable, bool]]:
    """Yield what a reader declares, without what every service has."""
    shared = {name.replace(_PREFIX, reader.title.removeprefix("The ").upper()) for name in common}
    found = declared(reader)
    is_service = reader.read is not _every_service and shared <= {variable.name for variable, _ in found}
    return ((variable, grouped) for variable, grouped in found if not (is_service and variable.name in shared))


def _section(reader: Reader, variables: Sequence[tuple[Variable, bool]]) -> str:
    rows = (
        (
            code(variable.name.replace(f"{_PREFIX}_", "<SERVICE>_")),
            "required in its group" if grouped and variable.default is REQUIRED else _default(variable.default),
            variable.description,
            "yes" if variable.is_secret else "",
        )
        for variable, grouped in variables
    )
    return f"## {reader.title}\n\n{reader.processes}\n\n{table(('variable', 'default', 'meaning', 'secret'), rows)}"


def _default(value: object) -> str:
    if value is REQUIRED:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, timedelta):
        return code(f"{value.total_seconds():.0f}")
    if isinstance(value, list):
        return code(",".join(map(str, value)))
    return code(str(value)) if value != "" else "empty"


# Variables that no reader of settings declares.
TRACING: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "Address of an OTLP collector, such as http://127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "The same for traces alone, as a whole URL",
}


def local() -> Mapping[str, str]:
    """Return the variables of a development machine with their descriptions."""
    ports = {
        f"ECERT_PORT_{port.name.upper()}": f"Port of {port.name}; by default {port.default}" for port in fields(Ports)
    }
    return {
        **ports,
        "ECERT_BASE_IMAGE": "Image that ours are built on; by default one made of Debian's packages",
        "ECERT_STATE_FOLDER": "Set for every process of `make run`: the folder of the installation it belongs to",
        "SANDBOX_API_KEY": "The payment sandbox: the key of its one account, which begins with sk_sandbox_",
        "SANDBOX_STORE": "The payment sandbox: its SQLite file, from --store",
        "SANDBOX_PUBLIC_URL": "The payment sandbox: its address for browsers, from --public-url",
        "SANDBOX_WEBHOOK_URL": "The payment sandbox: where webhooks are sent",
        "SANDBOX_WEBHOOK_SECRETS": "The payment sandbox: secrets that sign the webhooks, divided by commas",
        "SANDBOX_WEBHOOK_TLS_NAME": "The payment sandbox: name in the receiver's certificate",
        "SANDBOX_WEBHOOK_CA_FILE": "The payment sandbox: CA of the receiver's certificate (PEM)",
    }


def _plain(variables: Mapping[str, str]) -> str:
    return table(("variable", "meaning"), ((code(name), meaning) for name, meaning in variables.items()))

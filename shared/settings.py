"""Settings, read from the environment at start; all missing or invalid variables are named at once.

Each variable is declared with a description; `make docs` writes docs/configuration.md from the declarations.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import environs
from environs import EnvValidationError, validate

# Production refuses what only a local system may have, so any other name is an error.
ENVIRONMENTS: Final = ("local", "production")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Host and port.
Address = tuple[str, int]


# Default of a required variable.
REQUIRED: Final = ...


class SettingsError(SystemExit):
    """Settings are missing or invalid; the message names all of them."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Declaration of an environment variable. A secret one holds the secret itself, not the path of a file."""

    name: str
    description: str
    default: object
    is_secret: bool


class Env:
    """Reader of environment variables with descriptions. Collects errors until `seal`.

    Every other attribute reads a variable as the method of `environs.Env` with its name does: `env.int("ADMIN_PORT", 0,
    description="…")`. Without a default the variable is required.
    """

    def __init__(self) -> None:
        self.declared: dict[str, Variable] = {}
        self._env = environs.Env(eager=False)

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        return partial(self._read, getattr(self._env, kind))

    def _read(
        self, read: Callable[..., Any], name: str, *default: Any, description: str, secret: bool = False, **options: Any
    ) -> Any:
        self.declared[name] = Variable(
            name=name, description=description, default=default[0] if default else REQUIRED, is_secret=secret
        )
        return read(name, *default, **options)

    def is_set(self, name: str) -> bool:
        """Return whether a variable that decides about others is set and not empty."""
        return bool(os.environ.get(name))

    def seal(self) -> None:
        """Finish reading. Raises EnvValidationError."""
        self._env.seal()


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Connection to Kafka. Times in milliseconds."""

    bootstrap_servers: str
    security_protocol: str
    username: str | None
    password: str | None = field(repr=False)
    ca_file: str | None
    certificate_file: str | None
    key_file: str | None
    session_timeout_ms: int


@dataclass(frozen=True)
class TLSFiles:
    """PEM files of a web process that is reached over a network: its certificate, and the CA of the gateway's.

    The files are read for each connection, so a renewed certificate needs no restart.
    """

    certificate: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Listening address of a process. Without `tls` everybody who reaches `bind` is trusted as the gateway."""

    bind: str
    threads: int
    tls: TLSFiles | None


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Settings that every service has."""

    service: str
    database_url: str = field(repr=False)
    migrate_database_url: str | None = field(repr=False)
    environment: str
    log_level: str
    web: WebSettings
    admin: Address
    identity_jwks_file: Path
    audit_key_file: Path
    fingerprint_key_file: Path
    kafka: KafkaSettings


def read_env() -> Env:
    """Return a reader that collects errors until `seal`."""
    return Env()


def read_kafka(env: Env) -> KafkaSettings:
    """Return the Kafka settings."""
    return KafkaSettings(
        bootstrap_servers=env.str("KAFKA_BOOTSTRAP_SERVERS", description="Kafka brokers: host:port, divided by commas"),
        security_protocol=env.str(
            "KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT", description="Kafka's name of the protocol, such as SSL"
        ),
        username=env.str("KAFKA_USERNAME", None, description="User name at the brokers (SASL, SCRAM-SHA-512)"),
        password=env.str("KAFKA_PASSWORD", None, description="Password of that user", secret=True),
        ca_file=env.str("KAFKA_CA_FILE", None, description="CA certificates that the brokers' must lead to (PEM)"),
        certificate_file=env.str("KAFKA_CERTIFICATE_FILE", None, description="Client certificate (PEM)"),
        key_file=env.str("KAFKA_KEY_FILE", None, description="Key of the client certificate (PEM)"),
        session_timeout_ms=env.int(
            "KAFKA_SESSION_TIMEOUT_MS",
            10_000,
            description="Milliseconds without heartbeat after which the broker removes a consumer from its group",
        ),
    )


def read_web(env: Env) -> WebSettings:
    """Return the listening address, and the TLS files: all of them or none."""
    return WebSettings(
        bind=env.str("BIND", "127.0.0.1:8000", description="Address on which HTTP is served: host:port, or unix:/path"),
        threads=env.int("WEB_THREADS", 8, description="Threads that serve HTTP, each with a database connection"),
        tls=_read_tls(env),
    )


def _read_tls(env: Env) -> TLSFiles | None:
    if not any(env.is_set(f"TLS_{name}_FILE") for name in ("CERTIFICATE", "KEY", "CLIENT_CA")):
        return None
    return TLSFiles(
        certificate=env.path(
            "TLS_CERTIFICATE_FILE", description="Server certificate (PEM); all three TLS files or none"
        ),
        key=env.path("TLS_KEY_FILE", description="Key of the server certificate (PEM)"),
        client_ca=env.path("TLS_CLIENT_CA_FILE", description="CA that issues the callers' client certificates (PEM)"),
    )


def read_log_level(env: Env) -> str:
    """Return the lowest log level that is written."""
    level: str = env.str(
        "LOG_LEVEL",
        "INFO",
        validate=validate.OneOf(LOG_LEVELS),
        description=f"Lowest level that is logged: {', '.join(LOG_LEVELS)}",
    )
    return level


def read_environment(env: Env) -> str:
    """Return the kind of installation: production refuses what only a local system may have."""
    found: str = env.str(
        "ENVIRONMENT",
        validate=validate.OneOf(ENVIRONMENTS),
        description=f"Kind of installation: {' or '.join(ENVIRONMENTS)}",
    )
    return found


def read_admin(env: Env) -> Address:
    """Return the address of the admin server; port 0 for none."""
    return (
        env.str("ADMIN_HOST", "127.0.0.1", description="Address of the admin server (/livez, /readyz, /metrics)"),
        env.int("ADMIN_PORT", 0, description="Port of the admin server; 0: none"),
    )


def read_service(env: Env, service: str) -> ServiceSettings:
    """Return the settings that all services share; `service` gives the database variables their prefix."""
    prefix = service.upper()
    return ServiceSettings(
        service=service,
        database_url=env.str(
            f"{prefix}_DATABASE_URL",
            secret=True,
            description="Database of the service, as the role without DDL: postgresql://…",
        ),
        migrate_database_url=env.str(
            f"{prefix}_MIGRATE_DATABASE_URL",
            None,
            secret=True,
            description="The same database as the role that owns its tables; `migrate` alone needs it",
        ),
        environment=read_environment(env),
        log_level=read_log_level(env),
        web=read_web(env),
        admin=read_admin(env),
        identity_jwks_file=env.path(
            "IDENTITY_JWKS_FILE", description="Public keys of access tokens and attestations (JWK set)"
        ),
        audit_key_file=env.path("AUDIT_KEY_FILE", description="Key that signs the audit seals (PEM)"),
        fingerprint_key_file=env.path(
            "FINGERPRINT_KEY_FILE", description="Key of the HMAC over requests that have an Idempotency-Key"
        ),
        kafka=read_kafka(env),
    )


def read_desk_jwks_file() -> Path:
    """Return the file of the desk's public keys, for the operator API only. Raises SettingsError."""
    env = read_env()
    found: Path = env.path("DESK_JWKS_FILE", description="Public keys of the desk's tokens (JWK set)")
    seal(env)
    return found


def seal(env: Env) -> None:
    """Finish reading. Raises SettingsError that names every variable at fault."""
    try:
        env.seal()
    except EnvValidationError as error:
        found = error.error_messages
        named = found if isinstance(found, Mapping) else {"": found}
        lines = [f"  {name}: {' '.join(messages)}" for name, messages in sorted(named.items())]
        raise SettingsError("These settings are missing or wrong:\n" + "\n".join(lines)) from error


def shown(settings: object) -> dict[str, object]:
    """Return the settings for a log: without fields excluded from their repr, and with a database's address only."""
    assert is_dataclass(settings)
    known = {each.name: _plain(getattr(settings, each.name)) for each in fields(settings) if each.repr}
    url = urlsplit(getattr(settings, "database_url", ""))
    # A connection string of another form may contain its password anywhere.
    return known | {"database": f"{url.username}@{url.netloc.rpartition('@')[2]}{url.path}"} if url.scheme else known


def _plain(value: object) -> object:
    if is_dataclass(value):
        return shown(value)
    if isinstance(value, tuple | list | frozenset):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)

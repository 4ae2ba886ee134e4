"""Settings read from the environment once, at start; every missing or wrong variable is named at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from environs import Env, EnvValidationError, validate

__all__ = ["Address", "Env", "KafkaSettings", "ServiceSettings", "SettingsError", "TLSFiles", "WebSettings"]
__all__ += ["read_admin", "read_desk_jwks_file", "read_env", "read_kafka", "read_service", "read_web", "seal", "shown"]


# Production is refused what only a local system may have: a name that is neither must not pass for local.
ENVIRONMENTS: Final = ("local", "production")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Host and port.
Address = tuple[str, int]


class SettingsError(SystemExit):
    """Settings are missing or wrong; the message names them all."""


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """How to reach Kafka. Times in milliseconds."""

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
    """PEM files of a web process that is reached over a network: its own, and who issues the gateway's.

    Read anew for each connection, so that a renewed certificate needs no restart.
    """

    certificate: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Where a process listens. Without `tls` everyone who reaches `bind` is believed to be the gateway."""

    bind: str
    threads: int
    tls: TLSFiles | None


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What every service needs."""

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
    """A reader that collects what is wrong until `seal`."""
    return Env(eager=False)


def read_kafka(env: Env) -> KafkaSettings:
    """The Kafka settings."""
    return KafkaSettings(
        bootstrap_servers=env.str("KAFKA_BOOTSTRAP_SERVERS"),
        security_protocol=env.str("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        username=env.str("KAFKA_USERNAME", None),
        password=env.str("KAFKA_PASSWORD", None),
        ca_file=env.str("KAFKA_CA_FILE", None),
        certificate_file=env.str("KAFKA_CERTIFICATE_FILE", None),
        key_file=env.str("KAFKA_KEY_FILE", None),
        session_timeout_ms=env.int("KAFKA_SESSION_TIMEOUT_MS", 10_000),
    )


def read_web(env: Env) -> WebSettings:
    """Where HTTP is answered, and behind which certificates: all of them or none."""
    names = ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE")
    told = any(env.str(name, None) for name in names)
    return WebSettings(
        bind=env.str("BIND", "127.0.0.1:8000"),
        threads=env.int("WEB_THREADS", 8),
        tls=TLSFiles(*(env.path(name) for name in names)) if told else None,
    )


def read_log_level(env: Env) -> str:
    """From which level on a log line is written."""
    level: str = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(LOG_LEVELS))
    return level


def read_admin(env: Env) -> Address:
    """Where the platform's page is served; port 0 for nowhere."""
    return env.str("ADMIN_HOST", "127.0.0.1"), env.int("ADMIN_PORT", 0)


def read_service(env: Env, service: str) -> ServiceSettings:
    """The settings that all services share; `service` gives the database variables their prefix."""
    prefix = service.upper()
    return ServiceSettings(
        service=service,
        database_url=env.str(f"{prefix}_DATABASE_URL"),
        migrate_database_url=env.str(f"{prefix}_MIGRATE_DATABASE_URL", None),
        environment=env.str("ENVIRONMENT", validate=validate.OneOf(ENVIRONMENTS)),
        log_level=read_log_level(env),
        web=read_web(env),
        admin=read_admin(env),
        identity_jwks_file=env.path("IDENTITY_JWKS_FILE"),
        audit_key_file=env.path("AUDIT_KEY_FILE"),
        fingerprint_key_file=env.path("FINGERPRINT_KEY_FILE"),
        kafka=read_kafka(env),
    )


def read_desk_jwks_file() -> Path:
    """The public keys of the CA's desk, for those processes alone that it operates by. Raises SettingsError."""
    env = read_env()
    found: Path = env.path("DESK_JWKS_FILE")
    seal(env)
    return found


def seal(env: Env) -> None:
    """End the reading. Raises SettingsError that names every variable at fault."""
    try:
        env.seal()
    except EnvValidationError as error:
        found = error.error_messages
        named = found if isinstance(found, Mapping) else {"": found}
        lines = [f"  {name}: {' '.join(messages)}" for name, messages in sorted(named.items())]
        raise SettingsError("These settings are missing or wrong:\n" + "\n".join(lines)) from error


def shown(settings: object) -> dict[str, object]:
    """Settings as a log may show them: no field that its class keeps out of its repr; of a database, where it is."""
    assert is_dataclass(settings)
    known = {each.name: _plain(getattr(settings, each.name)) for each in fields(settings) if each.repr}
    url = urlsplit(getattr(settings, "database_url", ""))
    # A connection string of another form may hold its password anywhere.
    return known | {"database": f"{url.username}@{url.netloc.rpartition('@')[2]}{url.path}"} if url.scheme else known


def _plain(value: object) -> object:
    if is_dataclass(value):
        return shown(value)
    if isinstance(value, tuple | list | frozenset):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)

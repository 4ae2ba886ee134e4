"""Settings of the desk, read from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

from backoffice.desk.operators import Network
from shared.settings import ServiceSettings, read_env, read_service, seal


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """The settings of every process of the desk. `url` is its public address, without a path."""

    url: str
    payment_jwks_file: Path
    feed_jwks_file: Path
    staff_ca_file: Path
    staff_crl_file: Path


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    common = read_service(env, "desk")
    own: dict[str, Any] = {
        "url": env.str("DESK_URL", validate=_https),
        "payment_jwks_file": env.path("PAYMENT_JWKS_FILE"),
        "feed_jwks_file": env.path("FEED_JWKS_FILE"),
        "staff_ca_file": env.path("STAFF_CA_FILE"),
        "staff_crl_file": env.path("STAFF_CRL_FILE"),
    }
    seal(env)
    return Settings(**vars(common), **own)


@dataclass(frozen=True, kw_only=True)
class OperatorsSettings:
    """Settings of the web process only: the addresses of the operator APIs, and the key of the desk's tokens."""

    key_file: Path
    addresses: dict[str, str]
    network: Network | None


def read_operators() -> OperatorsSettings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    key_file: Path = env.path("DESK_SIGNING_KEY_FILE")
    addresses: dict[str, str] = env.dict("OPERATORS") or {}  # `seal` reports a missing variable
    over_network = any(not address.startswith("unix:") for address in addresses.values())
    names = ("OPERATORS_CA_FILE", "OPERATORS_CERTIFICATE_FILE", "OPERATORS_KEY_FILE")
    files = [env.path(name) for name in names] if over_network else []
    seal(env)
    network = Network(ca_file=files[0], certificate_file=files[1], key_file=files[2]) if over_network else None
    return OperatorsSettings(key_file=key_file, addresses=addresses, network=network)


def _https(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query:
        raise ValidationError("not an https address without a path")

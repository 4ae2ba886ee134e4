"""Settings of the desk, read from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

from backoffice.desk.operators import Network
from shared.settings import Env, ServiceSettings, read_env, read_service, seal


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """The settings of every process of the desk. `url` is its public address, without a path."""

    url: str
    application_jwks_file: Path
    payment_jwks_file: Path
    feed_jwks_file: Path
    staff_ca_file: Path
    staff_crl_file: Path


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    common = read_service(env, "desk")
    own: dict[str, Any] = {
        "url": env.str("DESK_URL", validate=_https, description="The desk's public address"),
        "application_jwks_file": env.path("APPLICATION_JWKS_FILE", description="Public keys of entitlements (JWK set)"),
        "payment_jwks_file": env.path("PAYMENT_JWKS_FILE", description="Public keys of receipts (JWK set)"),
        "feed_jwks_file": env.path("FEED_JWKS_FILE", description="Public keys of the feed (JWK set)"),
        "staff_ca_file": env.path("STAFF_CA_FILE", description="CA of the staff's certificates (PEM)"),
        "staff_crl_file": env.path("STAFF_CRL_FILE", description="CRL of the staff CA"),
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
    key_file: Path = env.path("DESK_SIGNING_KEY_FILE", description="Key that signs the desk's tokens (PEM)")
    addresses: dict[str, str] = (
        env.dict("OPERATORS", description="Operator API of each service: application=unix:/path or =https://…, …")
        or {}  # `seal` reports a missing variable
    )
    over_network = any(not address.startswith("unix:") for address in addresses.values())
    network = _read_network(env) if over_network else None
    seal(env)
    return OperatorsSettings(key_file=key_file, addresses=addresses, network=network)


def _read_network(env: Env) -> Network:
    return Network(
        ca_file=env.path("OPERATORS_CA_FILE", description="CA of the operator APIs (PEM); over https alone"),
        certificate_file=env.path(
            "OPERATORS_CERTIFICATE_FILE", description="The desk's client certificate there (PEM)"
        ),
        key_file=env.path("OPERATORS_KEY_FILE", description="Key of that certificate (PEM)"),
    )


def _https(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query:
        raise ValidationError("not an https address without a path")

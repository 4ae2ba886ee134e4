"""What the desk is told by its environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

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


def _https(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query:
        raise ValidationError("not an https address without a path")

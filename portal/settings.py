"""Settings of the portal, read from the environment; all missing or invalid variables are named at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, MultiFernet
from environs import validate
from marshmallow import ValidationError

from shared.settings import (
    ENVIRONMENTS,
    Address,
    SettingsError,
    WebSettings,
    read_admin,
    read_env,
    read_log_level,
    read_web,
    seal,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of the portal. Addresses have no path."""

    web: WebSettings
    admin: Address
    log_level: str
    environment: str
    portal_url: str
    api_url: str
    sign_in_url: str
    # The sign-in host of tokens that cannot do TLS 1.3.
    token_sign_in_url: str
    gateway_address: tuple[str, int] | None
    gateway_ca_file: Path | None
    session_keys: MultiFernet = field(repr=False)
    ca_name: str
    operator_name: str


def read() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    keys_file: Path = env.path("PORTAL_SESSION_KEYS_FILE")
    address: str | None = env.str("GATEWAY_ADDRESS", None)
    fields = {
        "web": read_web(env),
        "admin": read_admin(env),
        "log_level": read_log_level(env),
        "environment": env.str("ENVIRONMENT", validate=validate.OneOf(ENVIRONMENTS)),
        "portal_url": env.str("PORTAL_URL", validate=_https),
        "api_url": env.str("API_URL", validate=_https),
        "sign_in_url": env.str("SIGN_IN_URL", validate=_https),
        "token_sign_in_url": env.str("TOKEN_SIGN_IN_URL", validate=_https),
        "gateway_ca_file": env.path("GATEWAY_CA_FILE", None),
        "ca_name": env.str("CA_NAME", "Hongkong Post e-Cert"),
        "operator_name": env.str("OPERATOR_NAME", "Certizen Limited"),
    }
    seal(env)
    return Settings(
        session_keys=load_keys(keys_file), gateway_address=_address(address), **cast(dict[str, Any], fields)
    )


def load_keys(path: Path) -> MultiFernet:
    """Return the session keys, one a line, newest first: the first encrypts, all decrypt. Raises SettingsError."""
    try:
        keys = [Fernet(line) for line in path.read_text().split()]
        return MultiFernet(keys)
    except (OSError, ValueError) as error:
        raise SettingsError(f"PORTAL_SESSION_KEYS_FILE: {path} holds no Fernet keys, one a line") from error


def _https(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query:
        raise ValidationError("An https address without a path, please.")


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError("GATEWAY_ADDRESS: host:port, please")
    return host, int(port)

"""Settings of the portal, read from the environment; all missing or invalid variables are named at once."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, MultiFernet
from marshmallow import ValidationError

from shared.settings import (
    Address,
    SettingsError,
    WebSettings,
    read_admin,
    read_env,
    read_environment,
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
    keys_file: Path = env.path(
        "PORTAL_SESSION_KEYS_FILE", description="Keys of the session cookie (Fernet), one a line, the newest first"
    )
    address: str | None = env.str(
        "GATEWAY_ADDRESS", None, description="host:port of the gateway, where the hosts below do not lead to it"
    )
    fields = {
        "web": read_web(env),
        "admin": read_admin(env),
        "log_level": read_log_level(env),
        "environment": read_environment(env),
        "portal_url": env.str("PORTAL_URL", validate=_https, description="The portal's own public address"),
        "api_url": env.str("API_URL", validate=_https, description="Address of the public API"),
        "sign_in_url": env.str("SIGN_IN_URL", validate=_https, description="Address of the sign-in host"),
        "token_sign_in_url": env.str(
            "TOKEN_SIGN_IN_URL", validate=_https, description="Address of the sign-in host that speaks TLS 1.2"
        ),
        "gateway_ca_file": env.path(
            "GATEWAY_CA_FILE", None, description="CA of the gateway's certificates (PEM); by default the system's CAs"
        ),
        "ca_name": env.str("CA_NAME", "Hongkong Post e-Cert", description="Name of the CA in page titles"),
        "operator_name": env.str(
            "OPERATOR_NAME", "Certizen Limited", description="Name of who operates the site, in the footer"
        ),
    }
    seal(env)
    return Settings(session_keys=load_keys(keys_file), gateway_address=_address(address), **fields)


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
        raise ValidationError("Must be an https address without a path.")


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError("GATEWAY_ADDRESS: must be host:port")
    return host, int(port)

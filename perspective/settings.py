"""Settings of a perspective, read from the environment; all missing or invalid variables are named at once."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from environs import validate

from perspective.fetcher import LocalAccess
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
from shared.web.client_certificate import require_gateway_only

_MAX_TIMEOUT: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a perspective. `timeout` is in seconds."""

    web: WebSettings
    admin: Address
    log_level: str
    environment: str
    name: str
    resolver: Address
    timeout: float
    local: LocalAccess


def read() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    resolver: str = env.str(
        "RESOLVER_ADDRESS", description="Validating resolver of this perspective: IP address:port, beside the process"
    )
    networks: str = env.str(
        "LOCAL_NETWORKS", "", description="Networks that files may be fetched from though not public; local only"
    )
    ports: str = env.str("LOCAL_PORTS", "", description="Ports in place of 80 and 443, such as 8080,8443; local only")
    fields = {
        "web": read_web(env),
        "admin": read_admin(env),
        "log_level": read_log_level(env),
        "environment": read_environment(env),
        "name": env.str(
            "PERSPECTIVE_NAME",
            validate=validate.Regexp(r"[a-z0-9-]{1,32}\Z"),
            description="Name of this perspective, as issuance's list of perspectives has it",
        ),
        "timeout": env.float(
            "OBSERVATION_TIMEOUT",
            12.0,
            validate=validate.Range(min=0.1, max=_MAX_TIMEOUT),
            description="Seconds in which all questions of a request are answered",
        ),
    }
    seal(env)
    settings = Settings(resolver=_address(resolver), local=_local(networks, ports), **fields)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Refuse settings under which strangers reach the process, or it reaches what is not public in production."""
    require_gateway_only(settings.web)
    if settings.environment == "production" and (settings.local.networks or settings.local.ports):
        raise SettingsError(
            "LOCAL_NETWORKS, LOCAL_PORTS: refused in production: a domain's owner chooses what is fetched"
        )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
    except ValueError:
        host = ""
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise SettingsError("RESOLVER_ADDRESS: must be IP address:port")
    return host, int(port)


def _local(networks: str, ports: str) -> LocalAccess:
    try:
        given = [int(port) for port in ports.split(",")] if ports else []
        access = LocalAccess(
            ports=dict(zip((80, 443), given, strict=True)) if given else {},
            networks=tuple(map(ip_network, networks.split(","))) if networks else (),
        )
    except ValueError as error:
        raise SettingsError(f"LOCAL_NETWORKS, LOCAL_PORTS: networks, and two ports: {error}") from error
    return access

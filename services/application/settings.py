"""Settings of application, read from the environment once."""

from dataclasses import dataclass
from pathlib import Path

from shared.settings import ServiceSettings, read_env, read_service, seal


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all application processes."""

    service: ServiceSettings
    signing_key_file: Path
    jwks_file: Path


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError that names every variable at fault."""
    env = read_env()
    service = read_service(env, "application")
    signing_key_file = env.path("APPLICATION_SIGNING_KEY_FILE", description="Key that signs draft tickets (PEM)")
    jwks_file = env.path("APPLICATION_JWKS_FILE", description="Public keys of draft tickets (JWK set)")
    seal(env)
    return Settings(service=service, signing_key_file=signing_key_file, jwks_file=jwks_file)


def read_service_settings() -> ServiceSettings:
    """Return the settings that every service has; all others are validated all the same."""
    return read_settings().service

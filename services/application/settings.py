"""Settings of application, read from the environment once."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from marshmallow import validate

from shared.settings import ServiceSettings, read_env, read_service, seal


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all application processes."""

    service: ServiceSettings
    signing_key_file: Path
    jwks_file: Path
    evidence_margin: timedelta
    opens_days: int


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError that names every variable at fault."""
    env = read_env()
    service = read_service(env, "application")
    signing_key_file = env.path("APPLICATION_SIGNING_KEY_FILE", description="Key that signs draft tickets (PEM)")
    jwks_file = env.path("APPLICATION_JWKS_FILE", description="Public keys of draft tickets (JWK set)")
    margin_days = env.int(
        "EVIDENCE_MARGIN_DAYS",
        30,
        validate=validate.Range(1, 180),
        description="Days that a renewal normally takes: register evidence must outlast them, else no draft is made",
    )
    opens_days = env.int(
        "RENEWAL_OPENS_DAYS",
        90,
        validate=validate.Range(1, 365),
        description="Days before the end of the paid period from which the next year can be bought",
    )
    seal(env)
    return Settings(
        service=service,
        signing_key_file=signing_key_file,
        jwks_file=jwks_file,
        evidence_margin=timedelta(days=margin_days),
        opens_days=opens_days,
    )


def read_service_settings() -> ServiceSettings:
    """Return the settings that every service has; all others are validated all the same."""
    return read_settings().service

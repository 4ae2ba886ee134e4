"""Settings of application, read from the environment once."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from marshmallow import ValidationError, validate

from services.application.safe_start import LeadTimes
from shared.settings import Env, ServiceSettings, read_env, read_service, seal

# Days: a paid period.
_LONGEST: Final = 365


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all application processes."""

    service: ServiceSettings
    signing_key_file: Path
    jwks_file: Path
    evidence_margin: timedelta
    opens_days: int
    lead: LeadTimes
    reminder_days: tuple[int, ...]
    certificate_reminder_days: tuple[int, ...]


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError that names every variable at fault."""
    env = read_env()
    service = read_service(env, "application")
    signing_key_file = env.path(
        "APPLICATION_SIGNING_KEY_FILE", description="Key that signs draft tickets and entitlements (PEM)"
    )
    jwks_file = env.path("APPLICATION_JWKS_FILE", description="Public keys of draft tickets and entitlements (JWK set)")
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
    lead = _read_lead(env)
    reminder_days: str = env.str(
        "REMINDER_DAYS",
        "90,60,30,14,7,1",
        validate=_check_days,
        description="Days before the end of the paid period on which its AR is reminded of the renewal, with commas",
    )
    certificate_reminder_days: str = env.str(
        "CERTIFICATE_REMINDER_DAYS",
        "14,7,3,1",
        validate=_check_days,
        description="Days before a certificate's end on which its AR is reminded, within its suggested window",
    )
    seal(env)
    return Settings(
        service=service,
        signing_key_file=signing_key_file,
        jwks_file=jwks_file,
        evidence_margin=timedelta(days=margin_days),
        opens_days=opens_days,
        lead=lead,
        reminder_days=_days(reminder_days),
        certificate_reminder_days=_days(certificate_reminder_days),
    )


def _days(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _check_days(text: str) -> None:
    if not all(re.fullmatch(r"[0-9]{1,3}", each) and int(each) <= _LONGEST for each in text.split(",")):
        raise ValidationError(f"Must be numbers of days up to {_LONGEST}, divided by commas.")


def _read_lead(env: Env) -> LeadTimes:
    def days(name: str, default: int, what: str) -> int:
        found: int = env.int(name, default, validate=validate.Range(0, 60), description=f"Working days {what}")
        return found

    return LeadTimes(
        printing=days("PRINTING_WORKING_DAYS", 1, "until PIN Envelopes are printed and handed to the post"),
        mail=days("MAIL_WORKING_DAYS", 2, "until registered mail is delivered"),
        csr=days("CSR_WORKING_DAYS", 2, "that an AR takes for the CSRs, once the PIN Envelopes are there"),
        validation=days("VALIDATION_WORKING_DAYS", 10, "until domains and organisation are validated"),
        margin=days("MARGIN_WORKING_DAYS", 3, "left for the installation, and for what goes wrong"),
    )


def read_service_settings() -> ServiceSettings:
    """Return the settings that every service has; all others are validated all the same."""
    return read_settings().service

"""Settings of payment, read from the environment once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.payment.webhook import decode_secret
from shared.settings import Env, ServiceSettings, SettingsError, read_env, read_service, seal

SANDBOX_KEY_PREFIX: Final = "sk_sandbox_"
PRODUCTION: Final = "production"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all payment processes. `return_url` may contain {renewal_id}."""

    service: ServiceSettings
    signing_key_file: Path
    jwks_file: Path
    provider_url: str
    provider_api_key: str = field(repr=False)
    webhook_secrets: tuple[bytes, ...] = field(repr=False)
    return_url: str

    @property
    def is_production(self) -> bool:
        """Whether real money is moved: no sandbox is accepted."""
        return self.service.environment == PRODUCTION


def read_settings() -> Settings:
    """Read all settings. Raises SettingsError that names every variable at fault."""
    env = read_env()
    service = read_service(env, "payment")
    signing_key_file = env.path("PAYMENT_SIGNING_KEY_FILE", description="Key that signs receipts (PEM)")
    jwks_file = env.path("PAYMENT_JWKS_FILE", description="Public keys of receipts (JWK set)")
    provider_url = env.str("PAYMENT_PROVIDER_URL", description="The payment provider's API; https in production")
    api_key = env.str("PAYMENT_PROVIDER_API_KEY", secret=True, description="Secret key of our account at the provider")
    secret_texts: list[str] = env.list(
        "PAYMENT_WEBHOOK_SECRETS",
        secret=True,
        description="Secrets of which one signs each webhook, divided by commas",
    )
    return_url = env.str(
        "PAYMENT_RETURN_URL", description="Address to which the provider sends the AR back; may hold {renewal_id}"
    )
    seal(env)
    settings = Settings(
        service=service,
        signing_key_file=signing_key_file,
        jwks_file=jwks_file,
        provider_url=provider_url.rstrip("/"),
        provider_api_key=api_key,
        webhook_secrets=_decode(secret_texts),
        return_url=return_url,
    )
    _refuse_sandbox(settings)
    return settings


def read_service_settings() -> ServiceSettings:
    """Return the settings that every service has; all others are validated all the same."""
    return read_settings().service


def _decode(texts: list[str]) -> tuple[bytes, ...]:
    try:
        secrets = tuple(decode_secret(text) for text in texts)
    except ValueError as error:
        raise SettingsError(f"PAYMENT_WEBHOOK_SECRETS: {error}") from error
    if not secrets:
        raise SettingsError("PAYMENT_WEBHOOK_SECRETS: at least one is needed")
    return secrets


def _refuse_sandbox(settings: Settings) -> None:
    """Refuse a sandbox's key or a plain-text connection to the provider in production: a sandbox captures nothing."""
    if not settings.is_production:
        return
    if settings.provider_api_key.startswith(SANDBOX_KEY_PREFIX):
        raise SettingsError("PAYMENT_PROVIDER_API_KEY: production does not run on the sandbox provider")
    if not settings.provider_url.startswith("https://"):
        raise SettingsError("PAYMENT_PROVIDER_URL: production needs https")


__all__ = ["Env", "Settings", "read_service_settings", "read_settings"]

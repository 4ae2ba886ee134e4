"""issuance's settings, from the environment."""

from dataclasses import dataclass, fields
from pathlib import Path

from shared.settings import ServiceSettings, SettingsError, read_env, read_service, seal


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Key files are paths: each process opens only those it needs."""

    payment_jwks_file: Path
    print_certificate_file: Path
    ca_key_file: Path
    ca_certificate_file: Path
    ca_chain_file: Path
    pin_pepper_file: Path
    feed_key_file: Path | None
    feed_jwks_file: Path | None
    crl_url: str
    ca_issuers_url: str
    own_policy_oid: str | None
    serial_site_prefix: int
    allow_key_reuse: bool
    weak_keys_file: Path | None


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError that names every variable at fault."""
    env = read_env()
    shared = read_service(env, "issuance")
    settings = Settings(
        **{field.name: getattr(shared, field.name) for field in fields(ServiceSettings)},
        payment_jwks_file=env.path("PAYMENT_JWKS_FILE"),
        print_certificate_file=env.path("PRINT_CERTIFICATE_FILE"),
        ca_key_file=env.path("CA_KEY_FILE"),
        ca_certificate_file=env.path("CA_CERTIFICATE_FILE"),
        ca_chain_file=env.path("CA_CHAIN_FILE"),
        pin_pepper_file=env.path("PIN_PEPPER_FILE"),
        feed_key_file=env.path("FEED_KEY_FILE", None),
        feed_jwks_file=env.path("FEED_JWKS_FILE", None),
        crl_url=env.str("CRL_URL"),
        ca_issuers_url=env.str("CA_ISSUERS_URL"),
        own_policy_oid=env.str("ISSUANCE_POLICY_OID", None),
        serial_site_prefix=env.int("SERIAL_SITE_PREFIX"),
        allow_key_reuse=env.bool("ISSUANCE_ALLOW_KEY_REUSE", False),
        weak_keys_file=env.path("WEAK_KEYS_FILE", None),
    )
    seal(env)
    if settings.environment == "production" and settings.weak_keys_file is None:
        raise SettingsError("WEAK_KEYS_FILE: production certifies no key without the list of known weak ones")
    return settings

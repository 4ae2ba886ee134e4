"""Settings of the feed's process."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.settings import Address, WebSettings, read_admin, read_env, read_log_level, read_web, seal
from shared.web.client_certificate import require_gateway_only


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feed's process; nothing of Kafka, and public keys only."""

    database_url: str = field(repr=False)
    log_level: str
    web: WebSettings
    admin: Address
    jwks_file: Path


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    values = Settings(
        database_url=env.str(
            "FEED_DATABASE_URL", secret=True, description="Issuance's database, as the role that reads the feed"
        ),
        log_level=read_log_level(env),
        web=read_web(env),
        admin=read_admin(env),
        jwks_file=env.path("FEED_JWKS_FILE", description="Public keys of the feed (JWK set)"),
    )
    seal(env)
    require_gateway_only(values.web)
    return values

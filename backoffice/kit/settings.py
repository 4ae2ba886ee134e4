"""Settings of the kit, read from the environment. Kafka's variables are needed for Kafka only, HTTP's for HTTP only."""

from dataclasses import dataclass
from pathlib import Path

from shared.settings import Env, KafkaSettings, read_env, read_kafka, seal
from shared.web.https_client import Endpoint


@dataclass(frozen=True, kw_only=True)
class KitSettings:
    """The feed's addresses, the reader's identity, and the state file."""

    kafka: KafkaSettings | None
    group: str
    http: Endpoint | None
    jwks_file: Path | None
    state_file: Path
    patience_seconds: float


def state_file() -> Path:
    """Return the path of the state file; `export` needs no other setting."""
    env = read_env()
    file = _state_file(env)
    seal(env)
    return file


def read_settings(*, needs_kafka: bool, needs_http: bool) -> KitSettings:
    """Read the environment. Raises SettingsError that names every variable at fault.

    Without a key file, the keys are loaded over HTTP.
    """
    env = read_env()
    kafka = read_kafka(env) if needs_kafka else None
    http = None
    if needs_http or env.is_set("FEED_URL"):
        http = Endpoint(
            url=env.str("FEED_URL", description="Address of the feed over HTTP"),
            certificate=env.path(
                "FEED_CLIENT_CERTIFICATE_FILE", description="Certificate of a registered reader (PEM)"
            ),
            key=env.path("FEED_CLIENT_KEY_FILE", description="Key of that certificate (PEM)"),
            ca_file=env.path(
                "FEED_CA_FILE", None, description="CA of the gateway's certificate (PEM); by default the system's CAs"
            ),
            address=_address(
                env.str(
                    "FEED_ADDRESS", "", description="host:port to connect to, if the URL's host does not lead there"
                )
            ),
        )
    settings = KitSettings(
        kafka=kafka,
        group=env.str("FEED_GROUP", None, description="Consumer group at Kafka; by default KAFKA_USERNAME.kit")
        or (f"{kafka.username}.kit" if kafka else ""),
        http=http,
        jwks_file=_read_jwks_file(env, http),
        state_file=_state_file(env),
        patience_seconds=env.float(
            "FEED_PATIENCE_SECONDS",
            60.0,
            description="Seconds to wait for a missing position of the feed before it is fetched by itself",
        ),
    )
    seal(env)
    return settings


def _read_jwks_file(env: Env, http: Endpoint | None) -> Path | None:
    default = () if http is None else (None,)
    found: Path | None = env.path(
        "FEED_JWKS_FILE", *default, description="Public keys of the feed (JWK set); over HTTP they can be fetched"
    )
    return found


def _state_file(env: Env) -> Path:
    file: Path = env.path(
        "BACKOFFICE_STATE_FILE", Path("backoffice.sqlite"), description="The reader's memory (SQLite)"
    )
    return file


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host and port.isdigit() else None

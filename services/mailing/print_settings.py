"""Settings of the print process."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from environs import validate

from services.mailing.domain import Help
from services.mailing.letters.pin_envelope import DEFAULT_FONTS
from services.mailing.print_store import BatchRule
from services.mailing.settings import read_help
from shared.settings import Address, read_admin, read_env, read_log_level, seal


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the print process; nothing of Kafka, e-mail or tokens."""

    database_url: str = field(repr=False)
    log_level: str
    admin: Address
    key_file: Path
    certificate_file: Path
    posting_folder: Path
    fonts: Path
    portal: str
    help: Help
    rule: BatchRule
    letters_kept: timedelta


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    values = Settings(
        database_url=env.str(
            "PRINT_DATABASE_URL", secret=True, description="Mailing's database, as the print process's role"
        ),
        log_level=read_log_level(env),
        admin=read_admin(env),
        key_file=env.path("PRINT_KEY_FILE", description="Key that opens the encrypted PINs (PEM)"),
        certificate_file=env.path("PRINT_CERTIFICATE_FILE", description="Certificate of that key (PEM)"),
        posting_folder=env.path(
            "POSTING_DIR", description="Folder in which posting batches are left for the print room"
        ),
        fonts=env.path("FONTS_DIR", None, description="Folder of fonts; by default those of its own package")
        or DEFAULT_FONTS,
        portal=env.str("PORTAL_URL", description="The portal's public address, for letters"),
        help=read_help(env),
        rule=BatchRule(
            size=env.int("POSTING_BATCH_SIZE", 200, description="Envelopes that close a batch"),
            age=env.timedelta(
                "POSTING_BATCH_SECONDS",
                timedelta(hours=1),
                description="Age that closes a batch with fewer, in seconds",
            ),
        ),
        # Zero: a letter is erased at once after posting.
        letters_kept=env.timedelta(
            "POSTED_LETTERS_KEPT_SECONDS",
            timedelta(),
            validate=validate.Range(timedelta()),
            description="Seconds for which a letter is kept after it was posted",
        ),
    )
    seal(env)
    return values

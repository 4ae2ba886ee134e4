"""Settings of mailing; the print process has its own (`print_settings.py`)."""

from dataclasses import dataclass, field
from datetime import timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Final

from environs import ValidationError

from services.mailing.domain import Help
from services.mailing.mailer import MailServer
from shared.runtime.task_loop import SETTLE
from shared.settings import Env, ServiceSettings, SettingsError, read_env, read_service, seal

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
# Connecting, greeting, TLS, login, sender, recipient, DATA, the message and the end: each may take one timeout.
_STEPS_OF_A_CONVERSATION: Final = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all processes but `print`."""

    service: ServiceSettings
    application_jwks_file: Path
    payment_jwks_file: Path
    mail_server: MailServer = field(repr=False)
    smtp_timeout: float
    sender: Address
    portal: str
    help: Help

    @property
    def lease(self) -> timedelta:
        """The lease of a claimed e-mail: longer than its conversation can last."""
        return self.longest_conversation + SETTLE

    @property
    def longest_conversation(self) -> timedelta:
        """The time of a conversation if each step takes the whole timeout."""
        return timedelta(seconds=self.smtp_timeout * _STEPS_OF_A_CONVERSATION)


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError."""
    env = read_env()
    service = read_service(env, "mailing")
    application_jwks_file = env.path("APPLICATION_JWKS_FILE", description="Public keys of entitlements (JWK set)")
    payment_jwks_file = env.path("PAYMENT_JWKS_FILE", description="Public keys of receipts (JWK set)")
    smtp_url = env.str(
        "SMTP_URL",
        validate=_mail_server,
        secret=True,
        description="Mail server: smtp:// or smtps://[user:password@]host[:port]",
    )
    starttls = env.bool("SMTP_STARTTLS", False, description="Whether an smtp:// connection must become TLS")
    timeout = env.float("SMTP_TIMEOUT_SECONDS", 15.0, description="Time-out of each step of SMTP, in seconds")
    sender = env.str(
        "MAIL_FROM", validate=_address, description="Sender: no-reply@ca.example or Name <no-reply@ca.example>"
    )
    portal = env.str("PORTAL_URL", description="The portal's public address, for links in mails")
    help_contact = read_help(env)
    seal(env)
    server = MailServer.parse(smtp_url, starttls=starttls)
    if service.environment == "production" and not server.encrypted and server.host not in _LOOPBACK:
        raise SettingsError("SMTP_URL: in production a mail server elsewhere needs smtps:// or SMTP_STARTTLS")
    return Settings(
        service=service,
        application_jwks_file=application_jwks_file,
        payment_jwks_file=payment_jwks_file,
        mail_server=server,
        smtp_timeout=timeout,
        sender=_address(sender),
        portal=portal,
        help=help_contact,
    )


def read_service_settings() -> ServiceSettings:
    """Return the part that every service has; the whole is checked all the same."""
    return read_settings().service


def read_help(env: Env) -> Help:
    """Return the help desk's contact data, as letters and e-mails name it."""
    return Help(
        telephone=env.str("HELP_TELEPHONE", "2921 6633", description="Telephone number for help, in letters and mails"),
        email=env.str(
            "HELP_EMAIL", "enquiry@eCert.gov.hk", description="E-mail address for help, in letters and mails"
        ),
    )


def _mail_server(url: str) -> None:
    try:
        MailServer.parse(url)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def _address(text: str) -> Address:
    name, address = parseaddr(text)
    try:
        return Address(display_name=name, addr_spec=address)
    except (ValueError, IndexError, MessageError) as error:
        raise ValidationError("must look like no-reply@ca.example or Name <no-reply@ca.example>") from error

"""SMTP adapter of the mailer port: one conversation for each message, and the meaning of its end."""

import smtplib
import ssl
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from services.mailing.refusals import MailOutcomeUnknown, MailRefused, MailServerUnavailable

# The lease of a claimed e-mail must outlast the whole conversation: about eight commands of this length.
TIMEOUT_SECONDS: Final = 20.0

_QUIT_TIMEOUT_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Address of the mail server, and how to connect to it."""

    host: str
    port: int
    implicit_tls: bool = False
    starttls: bool = False
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str, *, starttls: bool = False) -> Self:
        """Parse `smtp://[user:password@]host[:port]`, or `smtps://…` for TLS from the first byte."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or parts.hostname is None or parts.path not in ("", "/"):
            raise ValueError("must look like smtp://host:port or smtps://host:port")
        implicit_tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=parts.port or (465 if implicit_tls else 25),
            implicit_tls=implicit_tls,
            starttls=starttls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    @property
    def encrypted(self) -> bool:
        """Whether e-mails and password are encrypted on the network."""
        return self.implicit_tls or self.starttls


class SMTPMailer:
    """Mailer that uses SMTP."""

    def __init__(self, server: MailServer, sender: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._server = server
        self._sender = sender
        self._timeout = timeout

    def send(self, recipient: str, message: bytes) -> None:
        try:
            smtp = self._connect()
        except OSError as error:  # including smtplib's own exceptions
            raise _not_taken(error) from error
        try:
            self._converse(smtp, recipient, message)
        finally:
            _leave(smtp)

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        own_name = self._sender.rpartition("@")[2]
        smtp: smtplib.SMTP
        if server.implicit_tls:
            context = ssl.create_default_context()
            smtp = smtplib.SMTP_SSL(server.host, server.port, own_name, timeout=self._timeout, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, own_name, timeout=self._timeout)
        try:
            if server.starttls:
                smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo_or_helo_if_needed()
            if server.username is not None and server.password is not None:
                smtp.login(server.username, server.password)
        except OSError:
            smtp.close()
            raise
        return smtp

    def _converse(self, smtp: smtplib.SMTP, recipient: str, message: bytes) -> None:
        try:
            if smtp.mail(self._sender)[0] != 250:
                # The fault is our account's, not the recipient's: the e-mail does not bounce.
                raise MailServerUnavailable("the mail server refused the sender")
            _expect(smtp.rcpt(recipient), 250, 251)
            _expect(smtp.docmd("DATA"), 354)
            smtp.send(_dotted(message))
        except OSError as error:
            # Without the final dot the server has accepted nothing.
            raise _not_taken(error) from error
        try:
            reply = smtp.getreply()
        except OSError as error:
            raise MailOutcomeUnknown("the connection was lost after the final dot") from error
        _expect(reply, 250)


def _expect(reply: tuple[int, bytes], *codes: int) -> None:
    code = reply[0]
    if code in codes:
        return
    if 500 <= code <= 599:
        raise MailRefused(code)
    raise MailServerUnavailable(f"the mail server answered {code}", code if 400 <= code <= 499 else None)


def _not_taken(error: OSError) -> MailServerUnavailable:
    """Return the error for a failure before the final dot (greeting, TLS, login): never the recipient's fault."""
    return MailServerUnavailable(f"{type(error).__name__} before the message was handed over")


def _dotted(message: bytes) -> bytes:
    """Return the message with leading dots doubled, and the final dot (RFC 5321, 4.5.2)."""
    body = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in message.split(b"\r\n"))
    return body.removesuffix(b"\r\n") + b"\r\n.\r\n"


def _leave(smtp: smtplib.SMTP) -> None:
    """Quit the session if the server still listens; the message's outcome is settled already."""
    try:
        if smtp.sock is not None:
            smtp.sock.settimeout(_QUIT_TIMEOUT_SECONDS)
            smtp.quit()
    except OSError:
        pass
    finally:
        smtp.close()

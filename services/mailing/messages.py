"""Turns a mail's row into the bytes that go to the mail server; the same row gives the same bytes."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.mailing.domain import Help, Mail

TEMPLATES: Final = Path(__file__).parent / "templates"


class Composer:
    """Renders a mail's templates and puts them into one multipart/alternative message.

    A template in a folder of the language (`csr-request/zh-Hant/body.txt`) goes before the English one.
    """

    def __init__(self, sender: Address, help_contact: Help) -> None:
        self._sender = sender
        self._help = help_contact
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
        )

    def compose(self, mail: Mail, dated: datetime) -> bytes:
        """The whole message; `dated` is when its first sending began."""
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = Address(display_name=mail.recipient_name, addr_spec=mail.recipient_address)
        message["Subject"] = self._render(mail, "subject.txt").strip()
        message["Date"] = format_datetime(dated)
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"
        # Quoted-printable passes every mail server, 8BITMIME or not.
        message.set_content(self._render(mail, "body.txt"), cte="quoted-printable")
        message.add_alternative(self._render(mail, "body.html"), subtype="html", cte="quoted-printable")
        message.set_boundary(f"=_{hashlib.sha256(mail.message_id.encode()).hexdigest()[:32]}")
        return message.as_bytes()

    def _render(self, mail: Mail, part: str) -> str:
        names = [f"{mail.template}/{mail.language}/{part}", f"{mail.template}/{part}"]
        return self._templates.select_template(names).render(self._values(mail))

    def _values(self, mail: Mail) -> Mapping[str, object]:
        return {"help": self._help, "recipient": mail.recipient_name, **mail.content}

"""Composition of e-mails: the bytes for the mail server, from a mail's row; the same row gives the same bytes.

An e-mail is a folder of templates: its subject, and its body in parts (`forms/`) that are rendered as text and as HTML.
So both forms have the same content, in every language.
"""

import hashlib
import re
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.filters import do_wordwrap

from services.mailing.domain import Help, Mail
from services.mailing.wording import HERE, Wording
from shared.vocabulary import Language

TEMPLATES: Final = HERE / "templates"
_LINE_LENGTH: Final = 72
_EMPTY_LINES: Final = re.compile(r"\n\s*\n")


class _Policy(EmailPolicy):
    """SMTP policy that folds non-ASCII headers as RFC 2047 demands.

    The standard library's own folding writes encoded words of 76 characters (section 2 allows 75).
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        if value.isascii():
            return super().fold_binary(name, value)
        addresses: tuple[Address, ...] = getattr(value, "addresses", ())
        if not addresses:
            return f"{name}: {_encoded(name, value)}\r\n".encode("ascii")
        listed = [f"{_encoded(name, each.display_name)}\r\n <{each.addr_spec}>" for each in addresses]
        return f"{name}: {','.join(listed)}\r\n".encode("ascii")


def _encoded(name: str, text: str) -> str:
    """Return the text as encoded words (RFC 2047), one a line; every blank is inside a word, so none is lost."""
    return Header(text, "utf-8", maxlinelen=75, header_name=name).encode(linesep="\r\n")


_POLICY: Final = _Policy(linesep="\r\n")


class Composer:
    """Renderer of an e-mail's templates into one multipart/alternative message."""

    def __init__(self, sender: Address, help_contact: Help) -> None:
        self._sender = sender
        self._help = help_contact
        self._presses = {(lang, form): _press(Wording(lang), form) for lang in Language for form in ("text", "html")}

    def compose(self, mail: Mail, dated: datetime) -> bytes:
        """Return the whole message; `dated` is the time of its first attempt."""
        message = EmailMessage(policy=_POLICY)
        message["From"] = self._sender
        message["To"] = Address(display_name=mail.recipient_name, addr_spec=mail.recipient_address)
        message["Subject"] = self._render(mail, "subject", "text")
        message["Date"] = format_datetime(dated)
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"
        # Every mail server passes quoted-printable, with 8BITMIME or without.
        message.set_content(self._render(mail, "body", "text") + "\n", cte="quoted-printable")
        message.add_alternative(self._render(mail, "body", "html") + "\n", subtype="html", cte="quoted-printable")
        # Set last: a header about the content moves into the first part when a second part is added.
        message["Content-Language"] = str(mail.language)
        message.set_boundary(f"=_{hashlib.sha256(mail.message_id.encode()).hexdigest()[:32]}")
        return message.as_bytes()

    def _render(self, mail: Mail, part: str, form: str) -> str:
        template = self._presses[mail.language, form].get_template(f"{mail.template}/{part}.jinja")
        values = {"help": self._help, "recipient": mail.recipient_name, "language": str(mail.language), **mail.content}
        return _EMPTY_LINES.sub("\n\n", template.render(values)).strip()


def _press(wording: Wording, form: str) -> Environment:
    """Return the template environment for one language and form."""
    press = Environment(
        loader=FileSystemLoader([TEMPLATES / "forms" / form, TEMPLATES]),
        autoescape=form == "html",  # noqa: S701 - the other form is plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    translations: Any = press
    translations.install_gettext_translations(wording.translations, newstyle=True)

    def fold(text: str, width: int = _LINE_LENGTH) -> str:
        """Return the text in lines for narrow screens. Chinese stays on one line: programs break it anywhere."""
        if wording.language is not Language.ENGLISH:
            return text
        return do_wordwrap(press, text, width, break_long_words=False, break_on_hyphens=False)

    def headline(text: str) -> str:
        return text.upper() if wording.language is Language.ENGLISH else f"【{text}】"

    press.filters |= {
        "fold": fold,
        "headline": headline,
        "money": wording.money,
        "day": wording.day,
        "moment": wording.moment,
        "revocation": wording.revocation,
        "product": wording.product,
        "ending": wording.ending,
        "cause": wording.cause,
        "obstacle": wording.obstacle,
    }
    return press

"""E-mails and PIN Envelopes: what they are, the states they pass through, and what is refused."""

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from shared.errors import Refused, Unavailable
from shared.events.base import ItemId, Language, Product, RenewalId


class AddressRefused(Refused):
    """Not an e-mail address that a message can be sent to."""

    reason = "not-an-e-mail-address"


class MailRefused(Refused):
    """The mail server will never take this message (a 5xx reply)."""

    reason = "mail-refused"

    def __init__(self, code: int) -> None:
        super().__init__(f"the mail server answered {code}")
        self.code = code


class MailServerUnavailable(Unavailable):
    """The mail server did not take the message now: a 4xx reply (`code`), or no conversation at all."""

    reason = "mail-server-unavailable"

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class MailOutcomeUnknown(Exception):
    """The connection was lost after the message's final dot: it may have been taken, or not."""


class EnvelopeUnusable(Refused):
    """A sealed PIN that cannot be printed: not for our key, not readable, or not the one its event announced."""

    reason = "envelope-unusable"


class Template(StrEnum):
    """A mail's folder of templates."""

    CSR_REQUEST = "csr-request"
    RENEWAL_COMPLETED = "renewal-completed"


PRODUCT_NAMES: Final[Mapping[Product, str]] = {
    Product.STANDARD: "e-Cert (Server)",
    Product.WILDCARD: 'e-Cert (Server) "Wildcard"',
    Product.MULTI_DOMAIN: 'e-Cert (Server) "Multi-domain"',
}


@dataclass(frozen=True, kw_only=True)
class Help:
    """Where an AR finds help."""

    telephone: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One e-mail to one recipient; one of a template per renewal and recipient, ever."""

    id: uuid.UUID
    renewal_id: RenewalId
    template: Template
    language: Language
    recipient_name: str
    recipient_address: str
    message_id: str
    content: Mapping[str, object]


class Mailer(Protocol):
    """Hands a message to a mail server.

    Returns when the server has taken it; else raises MailRefused, MailServerUnavailable (certainly not taken)
    or MailOutcomeUnknown.
    """

    def send(self, recipient: str, message: bytes) -> None: ...


def message_id(renewal_id: RenewalId, template: Template, address: str, domain: str) -> str:
    """The Message-ID of this mail, the same whenever it is asked for."""
    digest = hashlib.sha256(f"{renewal_id}\n{template}\n{address}".encode()).hexdigest()
    return f"<{digest[:40]}@{domain}>"


def one_line(text: str) -> str:
    """Text from outside as one line: nobody's name can add a header, a line or a change of direction.

    Characters newer than this Python's Unicode tables stay: some names need them.
    """
    visible = "".join(" " if unicodedata.category(c) in _BREAKS else c for c in text)
    return " ".join("".join(c for c in visible if unicodedata.category(c) not in _INVISIBLE).split())


_BREAKS: Final = frozenset({"Cc", "Zl", "Zp", "Zs"})
_INVISIBLE: Final = frozenset({"Cf", "Cs"})

_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


def mail_address(text: str) -> str:
    """The address if it is one that every mail server takes (ASCII, no quoting)."""
    if len(text) > 254 or _ADDRESS.fullmatch(text) is None or ".." in text or text.startswith(".") or ".@" in text:
        raise AddressRefused("the Authorised Representative's e-mail address is not usable")
    return text


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What one PIN Envelope says; it exists in the memory of the print process only."""

    renewal_id: RenewalId
    item_id: ItemId
    envelope_id: uuid.UUID
    reference: str
    server_name: str
    pin: str = field(repr=False)
    recipient_name: str
    organisation: str
    address: tuple[str, ...]

"""E-mails and PIN Envelopes: what they are, the states they pass through, and what is refused."""

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final, Protocol

from shared.errors import Refused, Unavailable
from shared.events.base import ItemId, Language, Product, RenewalId
from shared.validation import texts
from shared.validation.subscriber_record import RecordRefused, check_email

# A date on paper is the date here; Hong Kong has no summer time.
HONG_KONG: Final = timezone(timedelta(hours=8), "HKT")


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
    """A sealed PIN that cannot be printed: not for our key, not what its event announced, or too long an address."""

    reason = "envelope-unusable"


class ContactUnknown(Refused):
    """The renewal's CSRs were never asked for, so nobody said to whom its mails go."""

    reason = "contact-unknown"


class EnvelopeConflict(Refused):
    """Another letter for this server name is under way, or this envelope came before with another content."""

    reason = "envelope-conflict"


class ReportRefused(Refused):
    """What came back is no report that one of our mails was given up."""

    reason = "report-refused"


class PostingRefused(Refused):
    """What an operator says about the post does not fit what was printed."""

    reason = "posting-refused"


class Template(StrEnum):
    """A mail's folder of templates."""

    CSR_REQUEST = "csr-request"
    ITEM_REFUSED = "item-refused"
    RENEWAL_COMPLETED = "renewal-completed"
    RENEWAL_CANCELLED = "renewal-cancelled"
    PAYMENT_RETURNED = "payment-returned"


# What a renewal that ended without a certificate makes pointless; the mails about its end and its money are not.
VOID_AFTER_CANCELLATION: Final = frozenset({Template.CSR_REQUEST, Template.ITEM_REFUSED})

# An item may be the last one: then the renewal's end, which follows at once, says it all in one mail.
REFUSAL_WAITS: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Help:
    """Where an AR finds help."""

    telephone: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of a renewal, as its mails name it."""

    item_id: ItemId
    reference: str
    product: Product
    server_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Whom a renewal's mails go to and what they are about; every text is one clean line."""

    reference: str
    language: Language
    subscriber: str
    recipient_name: str
    recipient_address: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money that goes back, in minor units: of one refused item, with issuance's cause, or of the whole renewal."""

    item_id: ItemId | None
    amount_minor: int
    currency: str
    cause: str | None


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What mailing knows of a renewal."""

    renewal_id: RenewalId
    contact: Contact | None
    cancelled_at: datetime | None


class MailState(StrEnum):
    """Where a mail is. Unconfirmed: sent twice, and both times nobody heard the end; an operator decides."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    BOUNCED = "bounced"
    UNCONFIRMED = "unconfirmed"
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One e-mail to one recipient; one of a template per renewal (or item, if it is about one) and recipient, ever."""

    id: uuid.UUID
    renewal_id: RenewalId
    item_id: ItemId | None = None
    template: Template
    language: Language
    recipient_name: str
    recipient_address: str
    message_id: str
    content: Mapping[str, object]
    traceparent: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A claimed mail. `repeats` counts earlier sendings whose end nobody knows."""

    mail: Mail
    dated_at: datetime
    queued_at: datetime
    tries: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class SentMail:
    """A mail that was handed over, as an operator's word about it needs it."""

    id: uuid.UUID
    renewal_id: RenewalId
    template: Template
    state: MailState
    traceparent: str | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something that only a person can bring further: a mail that came back, an envelope that lies about."""

    kind: str
    id: uuid.UUID
    renewal_id: RenewalId
    reference: str | None
    what: str
    since: datetime
    why: str | None


REPEATS_ALLOWED: Final = 1
_GIVE_UP_AFTER: Final = timedelta(days=5)
_LONGEST_PAUSE: Final = timedelta(minutes=30)
_LONGEST_PAUSE_WITHOUT_SERVER: Final = timedelta(minutes=1)


def pause_before_next_try(tries: int, *, answered: bool) -> timedelta:
    """1 s, 2 s, 4 s … A server that does not answer at all is asked more often: it is ours, and will be back."""
    longest = _LONGEST_PAUSE if answered else _LONGEST_PAUSE_WITHOUT_SERVER
    return min(timedelta(seconds=2 ** min(tries - 1, 16)), longest)


def is_given_up(sending: Sending, now: datetime) -> bool:
    """Return whether a mail that the server puts off has been put off for too long (RFC 5321, 4.5.4.1: 4 to 5 days)."""
    return now - sending.queued_at > _GIVE_UP_AFTER


class Mailer(Protocol):
    """Hands a message to a mail server.

    Returns when the server has taken it; else raises MailRefused, MailServerUnavailable (certainly not taken)
    or MailOutcomeUnknown.
    """

    def send(self, recipient: str, message: bytes) -> None: ...


def message_id(
    renewal_id: RenewalId, template: Template, address: str, domain: str, item_id: ItemId | None = None
) -> str:
    """Return the Message-ID of this mail, the same whenever it is asked for."""
    about = renewal_id if item_id is None else item_id
    digest = hashlib.sha256(f"{about}\n{template}\n{address}".encode()).hexdigest()
    return f"<{digest[:40]}@{domain}>"


def one_line(text: str) -> str:
    """Return text from outside as one line: nobody's name can add a header, a line or a change of direction.

    Characters newer than this Python's Unicode tables stay: some names need them.
    """
    visible = "".join(" " if unicodedata.category(c) in _BREAKS else c for c in text)
    return " ".join("".join(c for c in visible if unicodedata.category(c) not in _INVISIBLE).split())


_BREAKS: Final = frozenset({"Cc", "Zl", "Zp", "Zs"})
_INVISIBLE: Final = frozenset({"Cf", "Cs"})


def mail_address(text: str) -> str:
    """Return the address. Raises AddressRefused unless every mail server takes it."""
    try:
        check_email("e-mail address", text)
    except RecordRefused as refused:
        raise AddressRefused("the Authorised Representative's e-mail address is not usable") from refused
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
    language: Language = Language.ENGLISH


class EnvelopeState(StrEnum):
    """Where a PIN Envelope is."""

    SEALED = "sealed"
    PRINTING = "printing"
    PRINTED = "printed"
    POSTED = "posted"
    RETURNED = "returned"
    DROPPED = "dropped"
    FAULTY = "faulty"


@dataclass(frozen=True, kw_only=True)
class PINEnvelope:
    """One PIN Envelope after printing, without what was in it."""

    envelope_id: uuid.UUID
    renewal_id: RenewalId
    item_id: ItemId
    server_name: str
    state: EnvelopeState
    registered_number: str | None
    posted_on: date | None
    traceparent: str | None


@dataclass(frozen=True, kw_only=True)
class BatchCount:
    """A posting batch, and how many of its letters are where."""

    number: int
    state: str
    opened_at: datetime
    closed_at: datetime | None
    printed: int
    posted: int
    returned: int
    dropped: int


_S10: Final = re.compile(r"R[A-Z]([0-9]{8})([0-9])[A-Z]{2}")
_S10_WEIGHTS: Final = (8, 6, 4, 2, 3, 5, 9, 7)


def registered_number(text: str) -> str:
    """Return a registered item's number (UPU S10: RA123456785HK), with its check digit. Raises PostingRefused."""
    number = texts.compact(text)
    match = _S10.fullmatch(number)
    if match is None or int(match[2]) != s10_check_digit(match[1]):
        raise PostingRefused("not the number of a registered item")
    return number


def s10_check_digit(serial: str) -> int:
    """Return the check digit of an eight-digit serial number (UPU S10)."""
    total = sum(weight * int(digit) for weight, digit in zip(_S10_WEIGHTS, serial, strict=True))
    return {10: 0, 11: 5}.get(11 - total % 11, 11 - total % 11)

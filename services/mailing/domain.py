"""E-mails and PIN Envelopes: their data, states and rules."""

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from services.mailing.refusals import AddressRefused, PostingRefused
from shared.backoff import Backoff
from shared.validation import texts
from shared.validation.subscriber_record import RecordRefused, check_email
from shared.vocabulary import ItemId, Language, Product, RenewalId, SubscriberId

# Dates on paper are Hong Kong dates; Hong Kong has no summer time.


class Template(StrEnum):
    """Templates of e-mails: each is a folder."""

    CSR_REQUEST = "csr-request"
    CERTIFICATE_DELAYED = "certificate-delayed"
    ITEM_REFUSED = "item-refused"
    RENEWAL_COMPLETED = "renewal-completed"
    RENEWAL_CANCELLED = "renewal-cancelled"
    PAYMENT_RETURNED = "payment-returned"
    ECERT_ROLLED_OVER = "ecert-rolled-over"
    RENEWAL_REMINDER = "renewal-reminder"
    REISSUE_REMINDER = "reissue-reminder"
    PIN_REPLACED = "pin-replaced"
    CERTIFICATE_REVOKED = "certificate-revoked"


# E-mails that a renewal's end without a certificate makes pointless; those about its end and its refund are sent.
VOID_AFTER_CANCELLATION: Final = frozenset(
    {Template.CSR_REQUEST, Template.CERTIFICATE_DELAYED, Template.ITEM_REFUSED, Template.PIN_REPLACED}
)

# Time before an e-mail is due that a later one may replace. If the refused item was the last one, the e-mail at the
# renewal's end covers it. An AR who has just submitted a CSR often removes one obstacle after another. The PINs
# of one order are sealed one after the other, and the last e-mail names them all.
MAIL_DELAYS: Final[Mapping[Template, timedelta]] = {
    Template.ITEM_REFUSED: timedelta(minutes=1),
    Template.CERTIFICATE_DELAYED: timedelta(minutes=5),
    Template.PIN_REPLACED: timedelta(minutes=1),
}


@dataclass(frozen=True, kw_only=True)
class Help:
    """Contact data of the help desk."""

    telephone: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item of a renewal, as its e-mails name it."""

    item_id: ItemId
    reference: str
    product: Product
    server_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The recipient of a renewal's e-mails, and the renewal's items; every text is one clean line."""

    reference: str
    language: Language
    subscriber: str
    recipient_name: str
    recipient_address: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Refund:
    """A refund in minor units: of one refused item, with issuance's cause, or of the whole renewal."""

    item_id: ItemId | None
    amount_minor: int
    currency: str
    cause: str | None


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The facts that mailing has about a renewal."""

    renewal_id: RenewalId
    contact: Contact | None
    cancelled_at: datetime | None


class MailState(StrEnum):
    """States of an e-mail. Unconfirmed: sent twice, with unknown outcome both times; an operator decides."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    BOUNCED = "bounced"
    UNCONFIRMED = "unconfirmed"
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True)
class Mail:
    """An e-mail to one recipient; at most one for each template, renewal (or item), recipient and occasion.

    `occasion` distinguishes what may be mailed more than once: it is derived from what the e-mail says. An e-mail about
    a subscriber's persons has no renewal, but a `subscriber_id`.
    """

    id: uuid.UUID
    renewal_id: RenewalId | None
    subscriber_id: SubscriberId | None = None
    item_id: ItemId | None = None
    occasion: uuid.UUID | None = None
    template: Template
    language: Language
    recipient_name: str
    recipient_address: str
    message_id: str
    content: Mapping[str, object]
    traceparent: str | None = None

    @property
    def about(self) -> str:
        """The id of the renewal or subscriber, for the audit log."""
        return str(self.renewal_id or self.subscriber_id)


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A claimed e-mail. `repeats` counts earlier attempts with unknown outcome."""

    mail: Mail
    dated_at: datetime
    queued_at: datetime
    tries: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class SentMail:
    """An e-mail that the mail server accepted, as far as operators need it."""

    id: uuid.UUID
    renewal_id: RenewalId | None
    subscriber_id: SubscriberId | None
    template: Template
    state: MailState
    traceparent: str | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An e-mail or PIN Envelope that needs an operator."""

    kind: str
    id: uuid.UUID
    renewal_id: RenewalId | None
    reference: str | None
    what: str
    since: datetime
    why: str | None


REPEATS_ALLOWED: Final = 1
_GIVE_UP_AFTER: Final = timedelta(days=5)
_DEFERRED: Final = Backoff(timedelta(seconds=1), timedelta(minutes=30))
_WITHOUT_SERVER: Final = Backoff(timedelta(seconds=1), timedelta(minutes=1))


def pause_before_next_try(tries: int, *, answered: bool) -> timedelta:
    """Return the retry delay: 1 s, 2 s, 4 s … capped at 30 min after a reply, at 1 min without one."""
    return (_DEFERRED if answered else _WITHOUT_SERVER).delay(tries - 1)


def is_given_up(sending: Sending, now: datetime) -> bool:
    """Return whether the server has deferred an e-mail for too long (RFC 5321, 4.5.4.1: 4 to 5 days)."""
    return now - sending.queued_at > _GIVE_UP_AFTER


class Mailer(Protocol):
    """Port to the mail server.

    Returns when the server has accepted the message; else raises MailRefused, MailServerUnavailable (certainly not
    accepted) or MailOutcomeUnknown.
    """

    def send(self, recipient: str, message: bytes) -> None: ...


def message_id(
    renewal_id: uuid.UUID,
    template: Template,
    address: str,
    domain: str,
    item_id: ItemId | None = None,
    occasion: uuid.UUID | None = None,
) -> str:
    """Return the Message-ID of this e-mail; always the same for the same e-mail."""
    about = renewal_id if item_id is None else item_id
    parts = [about, template, address, *([] if occasion is None else [occasion])]
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
    return f"<{digest[:40]}@{domain}>"


def one_line(text: str) -> str:
    """Return text from outside as one clean line: it cannot add a header, a line or a change of direction.

    Characters newer than this Python's Unicode tables stay: some names need them.
    """
    visible = "".join(" " if unicodedata.category(c) in _BREAKS else c for c in text)
    return " ".join("".join(c for c in visible if unicodedata.category(c) not in _INVISIBLE).split())


_BREAKS: Final = frozenset({"Cc", "Zl", "Zp", "Zs"})
_INVISIBLE: Final = frozenset({"Cf", "Cs"})


def mail_address(text: str) -> str:
    """Return the address. Raises AddressRefused unless every mail server accepts it."""
    try:
        check_email("e-mail address", text)
    except RecordRefused as refused:
        raise AddressRefused("the Authorised Representative's e-mail address is not usable") from refused
    return text


@dataclass(frozen=True, kw_only=True)
class Letter:
    """Content of a PIN Envelope; it exists in the memory of the print process only."""

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
    """States of a PIN Envelope."""

    SEALED = "sealed"
    PRINTING = "printing"
    PRINTED = "printed"
    POSTED = "posted"
    RETURNED = "returned"
    DROPPED = "dropped"
    FAULTY = "faulty"


@dataclass(frozen=True, kw_only=True)
class PINEnvelope:
    """A PIN Envelope after printing, without its content."""

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
    """A posting batch, with the number of its letters in each state."""

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

"""Timeline of a renewal: its events, and their details, each fact in a field of its own."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.vocabulary import ItemId


class TimelineEvent(StrEnum):
    """Steps of a renewal's timeline, as shown to the AR."""

    SUBMITTED = "submitted"
    PAID = "paid"
    PAYMENT_DECLINED = "payment-declined"
    CSR_REQUEST_SENT = "csr-request-sent"
    MAIL_BOUNCED = "mail-bounced"
    ORDER_OPENED = "order-opened"
    PIN_ENVELOPE_POSTED = "pin-envelope-posted"
    PIN_ENVELOPE_RETURNED = "pin-envelope-returned"
    PIN_REISSUED = "pin-reissued"
    CSR_RECEIVED = "csr-received"
    ISSUANCE_DELAYED = "issuance-delayed"
    CERTIFICATE_ISSUED = "certificate-issued"
    CERTIFICATE_ACCEPTED = "certificate-accepted"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_REFUSED = "certificate-refused"
    ON_HOLD = "on-hold"
    RELEASED = "released"
    CANCELLATION_ASKED = "cancellation-asked"
    CANCELLATION_DECLINED = "cancellation-declined"
    PAYMENT_DEADLINE = "payment-deadline"
    CSR_DEADLINE = "csr-deadline"
    HOLD_DEADLINE = "hold-deadline"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"
    REFUNDED = "refunded"
    COMPLETED = "completed"


@dataclass(frozen=True, kw_only=True)
class Details:
    """Facts of a timeline event: those of a posted letter, a certificate, a refund, an e-mail, a delay, or a reason
    (slug).
    """

    server_name: str | None = None
    registered_number: str | None = None
    serial: str | None = None
    amount_minor: int | None = None
    template: str | None = None
    reason: str | None = None
    server_names: tuple[str, ...] | None = None

    @property
    def text(self) -> str | None:
        """The same facts as one text, for readers of `detail`."""
        facts = [", ".join(fact) if isinstance(fact, tuple) else str(fact) for fact in vars(self).values() if fact]
        return " ".join(facts) or None


NO_DETAILS: Final = Details()


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """A row of a renewal's timeline, as shown to the AR."""

    time: datetime
    event: str
    item_id: ItemId | None
    detail: str | None
    details: Details


def read_text(event: str, text: str) -> Details:
    """Return the facts of a row that earlier code wrote as text alone."""
    match event:
        case TimelineEvent.PIN_ENVELOPE_POSTED:
            server_name, _, number = text.partition(" ")
            return Details(server_name=server_name, registered_number=number or None)
        case TimelineEvent.PIN_REISSUED:
            return Details(server_name=text)
        case TimelineEvent.CERTIFICATE_ISSUED:
            return Details(serial=text)
        case TimelineEvent.REFUNDED:
            return Details(amount_minor=int(text))
        case TimelineEvent.MAIL_BOUNCED:
            return Details(template=text)
    return Details(reason=text)

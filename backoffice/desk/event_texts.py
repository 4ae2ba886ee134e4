"""Timeline text of each event: its title and the facts that staff need. Never a name or an address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shared.events import application, identity, issuance, mailing, payment
from shared.events.base import Event


@dataclass(frozen=True, kw_only=True)
class EventText:
    """An event's title, and the fields that are kept as facts."""

    title: str
    facts: tuple[str, ...] = ()


TEXTS: Final[Mapping[type[Event], EventText]] = {
    identity.SignatureVerified: EventText(title="Signature verified", facts=("certificate_sha256", "document_sha256")),
    application.RenewalSubmitted: EventText(
        title="Application submitted", facts=("amount_minor", "currency", "pay_before")
    ),
    application.CSRRequested: EventText(title="CSRs requested", facts=("language",)),
    application.CheckoutClosureRequested: EventText(title="Checkout to be closed", facts=("reason",)),
    application.CancellationRequested: EventText(title="Cancellation requested"),
    application.RenewalCancelled: EventText(title="Renewal ended without a certificate", facts=("reason",)),
    application.CertificateDelayed: EventText(title="AR notified of what is missing", facts=("obstacles", "until")),
    application.RenewalAtRisk: EventText(title="Expected too late", facts=("slack_days",)),
    application.RenewalReminderDue: EventText(
        title="Reminder of the end of its paid period", facts=("srn", "paid_until", "days_before")
    ),
    application.ReissueReminderDue: EventText(
        title="Reminder of its certificate's end", facts=("serial", "certificate_until", "days_before")
    ),
    application.RefundDue: EventText(title="Refund due", facts=("amount_minor", "currency", "reason")),
    application.RenewalCompleted: EventText(title="Renewal completed"),
    payment.PaymentCaptured: EventText(title="Payment received", facts=("amount_minor", "currency")),
    payment.PaymentDeclined: EventText(title="Payment declined", facts=("reason",)),
    payment.PaymentExpired: EventText(title="Payment closed unpaid", facts=("reason",)),
    payment.PaymentRefunded: EventText(title="Refund made", facts=("amount_minor", "currency")),
    mailing.CSRRequestSent: EventText(title="CSR e-mail sent", facts=("message_id",)),
    mailing.MailBounced: EventText(title="E-mail bounced", facts=("message_id", "reply_code", "template")),
    mailing.PINEnvelopePosted: EventText(
        title="PIN Envelope despatched", facts=("server_name", "registered_number", "posted_on")
    ),
    mailing.PINEnvelopeReturned: EventText(
        title="PIN Envelope returned", facts=("server_name", "reason", "returned_on")
    ),
    issuance.OrderOpened: EventText(title="Order opened", facts=("reference", "srn", "server_names")),
    issuance.PINVoided: EventText(title="PIN voided", facts=("server_name", "reason", "envelope_id")),
    issuance.PINReissued: EventText(title="Another PIN is made", facts=("server_name", "envelope_id", "replaces")),
    issuance.CSRReceived: EventText(title="CSR received", facts=("key_kind", "spki_sha256")),
    issuance.IssuanceDelayed: EventText(title="Certificate waits", facts=("obstacles",)),
    issuance.CertificateIssued: EventText(title="Certificate issued", facts=("serial", "not_after")),
    issuance.IssuanceRefused: EventText(title="Certificate refused", facts=("reason",)),
    issuance.IssuanceWithheld: EventText(title="Issuance withheld for good"),
    issuance.CancellationDeclined: EventText(title="Too late to cancel"),
    issuance.CertificateAccepted: EventText(title="Certificate accepted", facts=("serial",)),
    issuance.CertificateRevoked: EventText(title="Certificate revoked", facts=("serial", "reason")),
}


def title_of(event_type: type[Event]) -> str:
    """Return an event's title; if the table has none, the first line of its docstring."""
    text = TEXTS.get(event_type)
    return text.title if text else (event_type.__doc__ or event_type.__name__).partition("\n")[0].rstrip(".")


def facts_of(event: Event) -> dict[str, Any]:
    """Return the facts to keep, as JSON values."""
    text = TEXTS.get(type(event))
    fields = msgspec.to_builtins(event)
    return {name: fields[name] for name in text.facts if name in fields} if text else {}

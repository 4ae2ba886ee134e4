"""Timeline text of each event: its title and the facts that staff need. Never a name or an address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shared.events import application, identity, issuance, mailing, payment
from shared.events.base import Event


@dataclass(frozen=True, kw_only=True)
class Told:
    """An event's title, and the fields that are kept as facts."""

    title: str
    facts: tuple[str, ...] = ()


TOLD: Final[Mapping[type[Event], Told]] = {
    identity.SignatureVerified: Told(title="Signature verified", facts=("certificate_sha256", "document_sha256")),
    application.RenewalSubmitted: Told(title="Application submitted", facts=("amount_minor", "currency", "pay_before")),
    application.CSRRequested: Told(title="CSRs requested", facts=("language",)),
    application.CheckoutClosureRequested: Told(title="Checkout to be closed", facts=("reason",)),
    application.CancellationRequested: Told(title="Cancellation requested"),
    application.RenewalCancelled: Told(title="Renewal ended without a certificate", facts=("reason",)),
    application.RefundDue: Told(title="Refund due", facts=("amount_minor", "currency", "reason")),
    application.RenewalCompleted: Told(title="Renewal completed"),
    payment.PaymentCaptured: Told(title="Payment received", facts=("amount_minor", "currency")),
    payment.PaymentDeclined: Told(title="Payment declined", facts=("reason",)),
    payment.PaymentExpired: Told(title="Payment closed unpaid", facts=("reason",)),
    payment.PaymentRefunded: Told(title="Refund made", facts=("amount_minor", "currency")),
    mailing.CSRRequestSent: Told(title="CSR e-mail sent", facts=("message_id",)),
    mailing.MailBounced: Told(title="E-mail bounced", facts=("message_id", "reply_code", "template")),
    mailing.PINEnvelopePosted: Told(
        title="PIN Envelope despatched", facts=("server_name", "registered_number", "posted_on")
    ),
    mailing.PINEnvelopeReturned: Told(title="PIN Envelope returned", facts=("server_name", "reason", "returned_on")),
    issuance.OrderOpened: Told(title="Order opened", facts=("reference", "srn", "server_names")),
    issuance.PINVoided: Told(title="PIN voided", facts=("server_name", "reason", "envelope_id")),
    issuance.PINReissued: Told(title="Another PIN is made", facts=("server_name", "envelope_id", "replaces")),
    issuance.CSRReceived: Told(title="CSR received", facts=("key_kind", "spki_sha256")),
    issuance.CertificateIssued: Told(title="Certificate issued", facts=("serial", "not_after")),
    issuance.IssuanceRefused: Told(title="Certificate refused", facts=("reason",)),
    issuance.IssuanceWithheld: Told(title="Issuance withheld for good"),
    issuance.CancellationDeclined: Told(title="Too late to cancel"),
    issuance.CertificateAccepted: Told(title="Certificate accepted", facts=("serial",)),
    issuance.CertificateRevoked: Told(title="Certificate revoked", facts=("serial", "reason")),
}


def title_of(event_type: type[Event]) -> str:
    """Return an event's title; if the table has none, the first line of its docstring."""
    told = TOLD.get(event_type)
    return told.title if told else (event_type.__doc__ or event_type.__name__).partition("\n")[0].rstrip(".")


def facts_of(event: Event) -> dict[str, Any]:
    """Return the facts to keep, as JSON values."""
    told = TOLD.get(type(event))
    fields = msgspec.to_builtins(event)
    return {name: fields[name] for name in told.facts if name in fields} if told else {}

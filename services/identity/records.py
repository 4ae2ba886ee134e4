"""Records of a subscriber and its ARs, checked by the shared rules at enrolment and before an attestation."""

from datetime import datetime

from services.identity.domain import AuthorisedRepresentative, RegisterEvidence, Subscriber
from shared.validation.subscriber_record import (
    RecordRefused,
    check_address,
    check_email,
    check_line,
    check_name,
    check_subject,
)


def check_subscriber(subscriber: Subscriber) -> None:
    """Check that a certificate can name the subscriber. Raises RecordRefused."""
    check_subject(subscriber.name, subscriber.country, subscriber.state_or_province, subscriber.locality)
    if subscriber.name_zh is not None:
        check_name("name_zh", subscriber.name_zh)


def check_ar(ar: AuthorisedRepresentative, subscriber: Subscriber) -> None:
    """Check that e-mails and PIN Envelopes can reach the AR. Raises RecordRefused."""
    check_name("name", ar.name)
    if ar.name_zh is not None:
        check_name("name_zh", ar.name_zh)
    check_email("email", ar.email)
    check_address(ar.name, subscriber.name, ar.address)


def check_evidence(evidence: RegisterEvidence, now: datetime) -> None:
    """Check register evidence: a verification that has happened, with a source and a checker. Raises RecordRefused."""
    if evidence.verified_at > now:
        raise RecordRefused("verified_at", "it is in the future")
    check_line("source", evidence.source)
    check_line("checker", evidence.checker)

"""Bookkeeping of one event: its position, its place in the renewal, and its facts about a certificate."""

from collections.abc import Iterator
from dataclasses import replace

from backoffice.kit.order import Finding, Kind
from backoffice.kit.state import Certificate, State, as_text
from shared.errors import Undecodable
from shared.events.base import Envelope, Event
from shared.events.issuance import CertificateAccepted, CertificateIssued, CertificateRevoked
from shared.events.registry import ALL
from shared.messaging import codec


def book(event: Envelope, state: State) -> Iterator[Finding]:
    """Record the event at its position, and yield what is wrong with it. Call it in the state's transaction."""
    assert event.position is not None
    state.book(event.position, event.id)
    before = state.follow(event.subject, event.sequence)
    # A reader that starts in the middle takes a renewal's sequence from its first event; from the beginning, 1 is
    # expected.
    expected = before + 1 if before is not None else (1 if state.baseline == 0 else event.sequence)
    if event.sequence != expected:
        detail = f"sequence {event.sequence} of {event.subject}, {expected} was expected"
        yield Finding(kind=Kind.OUT_OF_SEQUENCE, position=event.position, detail=detail)
    kind = ALL.get(event.type)
    if kind is None or kind.TOPIC is not event.topic:
        yield Finding(kind=Kind.UNKNOWN_TYPE, position=event.position, detail=event.type)
        return
    try:
        known = codec.decode_data(event.data, kind)
    except Undecodable as error:
        yield Finding(kind=Kind.UNREADABLE, position=event.position, detail=str(error))
        return
    _certificate(known, event, state)


def _certificate(known: Event, event: Envelope, state: State) -> None:
    match known:
        case CertificateIssued():
            kept = _kept(known.serial, known, event, state)
            state.save_certificate(
                replace(
                    kept,
                    srn=known.srn,
                    server_names=known.server_names,
                    not_before=as_text(known.not_before),
                    not_after=as_text(known.not_after),
                    sha256=known.certificate_sha256,
                    issued_at=as_text(event.time),
                )
            )
        case CertificateAccepted():
            kept = _kept(known.serial, known, event, state)
            state.save_certificate(replace(kept, accepted_at=as_text(known.accepted_at)))
        case CertificateRevoked():
            kept = _kept(known.serial, known, event, state)
            revoked_at = as_text(known.revoked_at)
            state.save_certificate(replace(kept, revoked_at=revoked_at, revocation_reason=known.reason))


def _kept(
    serial: str, known: CertificateIssued | CertificateAccepted | CertificateRevoked, event: Envelope, state: State
) -> Certificate:
    """Return the certificate's record with the facts of this event; its issuance may never have come."""
    assert event.position is not None
    return state.find_certificate(serial) or Certificate(
        serial=serial, position=event.position, renewal_id=str(known.renewal_id), item_id=str(known.item_id)
    )

"""Conversation with the provider about one checkout, without an open transaction; returns its outcome."""

import structlog

from services.payment.domain import (
    Captured,
    Checkout,
    Ended,
    Outcome,
    Payment,
    PaymentState,
    Provider,
    Session,
    SessionStatus,
    Unfit,
    Unopened,
    Unreachable,
    Waiting,
)
from services.payment.refusals import ProviderRefused, ProviderUnavailable

log = structlog.get_logger()


def open_session(provider: Provider, checkout: Checkout) -> Outcome:
    """Find the checkout's session, or open it if the provider knows none under our reference.

    An earlier answer may be lost, or a restored database may have lost the whole checkout. Raises ProviderRefused or
    ProviderUnavailable: the caller waits for the answer.
    """
    session = provider.find_checkout(checkout)
    if session is None:
        session = provider.open_checkout(checkout)
    if session.status is SessionStatus.UNKNOWN or not session.fits(checkout):
        return Unfit(why=_difference(session, checkout))
    if session.status in {SessionStatus.CANCELLED, SessionStatus.EXPIRED}:
        return Ended(session=session)
    return Waiting(session=session)


def pursue(provider: Provider, payment: Payment, checkout: Checkout | None) -> Outcome:
    """Find out the state of the checkout. Captures it if it is paid, closes it if the payment is closing."""
    if checkout is None:
        return Ended(session=None)
    try:
        return _pursue(provider, payment, checkout)
    except ProviderUnavailable as error:
        log.warning("payment.provider_unavailable", renewal_id=str(payment.renewal_id), error=str(error))
        return Unreachable(why=str(error))
    except ProviderRefused as error:
        return Unfit(why=str(error))


def _pursue(provider: Provider, payment: Payment, checkout: Checkout) -> Outcome:
    closing = payment.state is PaymentState.CLOSING
    session = provider.find_checkout(checkout)
    if session is None and closing:
        session = _opened_to_be_closed(provider, checkout)
    if session is None:
        return Ended(session=None) if closing else Unopened()
    if closing and session.status is SessionStatus.OPEN:
        session = provider.close_checkout(session)
    if session.status in {SessionStatus.CANCELLED, SessionStatus.EXPIRED}:
        return Ended(session=session)
    if session.fits(checkout) and session.status is SessionStatus.PAID:
        session = provider.capture(session, payment)
    if not session.fits(checkout):
        return Unfit(why=_difference(session, checkout))
    if session.status is SessionStatus.OPEN:
        return Waiting(session=session)
    if session.status is SessionStatus.CAPTURED and session.captured_at is not None:
        return Captured(session=session, at=session.captured_at)
    return Unfit(why=f"the provider says {session.status} where it should say captured, and when")


def _opened_to_be_closed(provider: Provider, checkout: Checkout) -> Session | None:
    """Use up the idempotency key of an intent that the provider does not know.

    An earlier request to open it may still arrive; after this it cannot open a second session.
    """
    try:
        return provider.open_checkout(checkout)
    except ProviderRefused:
        return provider.find_checkout(checkout)


def _difference(session: Session, checkout: Checkout) -> str:
    return (
        f"the provider says {session.status} {session.reference} {session.currency} {session.amount_minor}"
        f" (captured {session.captured_minor}), we say {checkout.id} {checkout.currency} {checkout.amount_minor}"
    )

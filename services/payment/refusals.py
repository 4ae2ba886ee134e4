"""What payment refuses, and how its provider fails: permanently or temporarily."""

from shared.errors import Refused, Unavailable


class NoSuchTransition(Refused):
    """This cannot happen to a payment in this state."""

    reason = "not-in-this-state"


class PaymentNotReady(Refused):
    """The payment is not known here (yet): the submitted renewal may still be on its way."""

    reason = "payment-not-ready"


class NotTheRepresentative(Refused):
    """Another AR than the one who submitted the renewal."""

    reason = "not-the-representative"


class AuthorisationRefused(Refused):
    """The checkout authorisation is not for this renewal, AR and certificate."""

    reason = "authorisation-refused"


class AuthorisationUsed(Refused):
    """A checkout authorisation opens a checkout once."""

    reason = "authorisation-used"


class PaymentClosed(Refused):
    """The time to pay is over."""

    reason = "payment-closed"


class AlreadyPaid(Refused):
    """The money is captured; nobody may pay twice."""

    reason = "already-paid"


class PaymentHeld(Refused):
    """A person looks into what the provider says."""

    reason = "payment-held"


class NoReceiptYet(Refused):
    """Nothing is captured, so there is no receipt."""

    reason = "no-receipt-yet"


class PaymentConflict(Refused):
    """An event contradicts what is known of the payment or refund."""

    reason = "payment-conflict"


class WebhookRefused(Refused):
    """Not a webhook of our provider."""

    reason = "webhook-refused"


class ProviderRefused(Refused):
    """The provider will never do this; `code` is its own word for why."""

    reason = "provider-refused"

    def __init__(self, code: str) -> None:
        super().__init__(f"the payment provider refused: {code}")
        self.code = code


class ProviderUnavailable(Unavailable):
    """The provider did not answer, or not with an answer; whether it did something is not known."""

    reason = "provider-unavailable"

"""Refusals of payment, and the provider's permanent and temporary failures."""

from shared.errors import Refused, Unavailable


class NoSuchTransition(Refused):
    """The payment's state does not allow this."""

    reason = "not-in-this-state"


class PaymentNotReady(Refused):
    """The payment is not known (yet): the event of the submitted renewal may still be on its way."""

    reason = "payment-not-ready"


class NotTheRepresentative(Refused):
    """The caller is not the AR who submitted the renewal."""

    reason = "not-the-representative"


class AuthorisationRefused(Refused):
    """The checkout authorisation is for another renewal, AR or certificate."""

    reason = "authorisation-refused"


class AuthorisationUsed(Refused):
    """The checkout authorisation was used; each opens one checkout."""

    reason = "authorisation-used"


class PaymentClosed(Refused):
    """The payment's deadline has passed, or it is closed."""

    reason = "payment-closed"


class AlreadyPaid(Refused):
    """The payment is captured; nobody may pay twice."""

    reason = "already-paid"


class PaymentHeld(Refused):
    """The payment is held until a person has decided."""

    reason = "payment-held"


class NoReceiptYet(Refused):
    """The payment is not captured, so there is no receipt."""

    reason = "no-receipt-yet"


class PaymentConflict(Refused):
    """The event contradicts the stored payment or refund."""

    reason = "payment-conflict"


class WebhookRefused(Refused):
    """The request is not a webhook of our provider."""

    reason = "webhook-refused"


class ProviderRefused(Refused):
    """The provider refuses for good; `code` is its reason."""

    reason = "provider-refused"

    def __init__(self, code: str) -> None:
        super().__init__(f"the payment provider refused: {code}")
        self.code = code


class ProviderUnavailable(Unavailable):
    """The provider did not answer, or gave no usable answer; whether it acted is unknown."""

    reason = "provider-unavailable"

"""Why application refuses a command, or holds an event for a person."""

from shared.errors import Refused


class InvalidTransition(Refused):
    """A command that the present state does not allow."""

    reason = "not-in-this-state"

    def __init__(self, state: str) -> None:
        super().__init__(f"the renewal is {state}")
        self.extensions = {"state": state}


class Contradiction(Refused):
    """issuance says the opposite of what it said before; held, so that nothing is both paid back and issued."""

    reason = "contradiction"


class RenewalNotFound(Refused):
    """No such renewal of this subscriber."""

    reason = "renewal-not-found"


class NotRebuilt(Refused):
    """After a restore: a renewal's own events do not say where it was."""

    reason = "not-rebuilt"


class NotEligible(Refused):
    """One of the certificates cannot be renewed online now; the message says which, why and what to do."""

    reason = "not-eligible"

    def __init__(self, srn: str, reason: str, advice: str) -> None:
        super().__init__(f"{srn}: {advice}")
        self.extensions = {"srn": srn, "reason": reason, "advice": advice}


class NoAdditionalServers(Refused):
    """Additional servers are counted, and paid for, on Wildcard only."""

    reason = "no-additional-servers"


class WrongAttestation(Refused):
    """The attestation is not about this renewal's document, this AR and this subscriber."""

    reason = "wrong-attestation"


class DocumentTooOld(Refused):
    """Prices, terms or the certificates themselves may have changed since this document was made: start again."""

    reason = "document-too-old"


class ARStillChanged(Refused):
    """A renewal on hold whose signer is still not the AR of record."""

    reason = "ar-changed"


class WrongAmount(Refused):
    """payment captured or paid back something else than what was asked for."""

    reason = "wrong-amount"


class PaidTwice(Refused):
    """A second payment of one renewal: a person has to give it back."""

    reason = "paid-twice"


class RefundNotFound(Refused):
    """Money went back that nobody asked to be paid back."""

    reason = "refund-not-found"


class TermsNotFound(Refused):
    """No such version of the terms was ever published."""

    reason = "terms-not-found"

"""Refusals of application: a command is refused, an event is held for a person."""

from collections.abc import Sequence
from datetime import date

from shared.errors import Refused


class InvalidTransition(Refused):
    """The renewal's state does not allow this command."""

    reason = "not-in-this-state"

    def __init__(self, state: str) -> None:
        super().__init__(f"the renewal is {state}")
        self.extensions = {"state": state}


class Contradiction(Refused):
    """issuance announced the opposite of an earlier event; held, so that nothing is both refunded and issued."""

    reason = "contradiction"


class RenewalNotFound(Refused):
    """The subscriber has no such renewal."""

    reason = "renewal-not-found"


class NotRebuilt(Refused):
    """The renewal's own events do not determine its state after a restore."""

    reason = "not-rebuilt"


class NotEligible(Refused):
    """A certificate cannot be renewed online now; the message has the reason and the advice."""

    reason = "not-eligible"

    def __init__(self, srn: str, reason: str, advice: str) -> None:
        super().__init__(f"{srn}: {advice}")
        self.extensions = {"srn": srn, "reason": reason, "advice": advice}


class TooEarly(Refused):
    """The year after the one that is paid for can be bought from `opens_on` on, a day in Hong Kong."""

    reason = "too-early"

    def __init__(self, srn: str, opens_on: date) -> None:
        super().__init__(f"{srn}: the next year can be bought from {opens_on} on")
        self.extensions = {"srn": srn, "opens_on": opens_on.isoformat()}


class ServerNamesRefused(Refused):
    """The chosen server names cannot be ordered together; `names` are those at fault, none if all together are."""

    reason = "server-names-refused"

    def __init__(self, srn: str, reason: str, names: Sequence[str], detail: str) -> None:
        super().__init__(f"{srn}: {detail}")
        self.extensions = {"srn": srn, "reason": reason, "server_names": list(names)}


class ServerNamesFixed(Refused):
    """Only a renewal of Multi-domain can change its server names."""

    reason = "server-names-fixed"


class NoAdditionalServers(Refused):
    """Only Wildcard has additional servers."""

    reason = "no-additional-servers"


class WrongAttestation(Refused):
    """The attestation is of another document, AR or subscriber."""

    reason = "wrong-attestation"


class DocumentTooOld(Refused):
    """Prices, terms or certificates may have changed since the document was made: a new draft is needed."""

    reason = "document-too-old"


class ARStillChanged(Refused):
    """The signer of the renewal on hold is still not the AR of record."""

    reason = "ar-changed"


class WrongAmount(Refused):
    """payment captured or refunded another amount than requested."""

    reason = "wrong-amount"


class PaidTwice(Refused):
    """The renewal was paid a second time: a person has to refund it."""

    reason = "paid-twice"


class RefundNotFound(Refused):
    """payment made a refund that was not requested."""

    reason = "refund-not-found"


class TermsNotFound(Refused):
    """No such version of the terms was ever published."""

    reason = "terms-not-found"

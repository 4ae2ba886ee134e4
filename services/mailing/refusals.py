"""Refusals of mailing, and the mail server's failures."""

from shared.errors import Refused, Unavailable


class AddressRefused(Refused):
    """The text is not an e-mail address to which a message can be sent."""

    reason = "not-an-e-mail-address"


class MailRefused(Refused):
    """The mail server refuses this message for good (a 5xx reply)."""

    reason = "mail-refused"

    def __init__(self, code: int) -> None:
        super().__init__(f"the mail server answered {code}")
        self.code = code


class MailServerUnavailable(Unavailable):
    """The mail server did not accept the message: a 4xx reply (`code`), or no conversation at all."""

    reason = "mail-server-unavailable"

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class MailOutcomeUnknown(Exception):
    """The connection was lost after the message's final dot: it is unknown whether the server accepted it."""


class EnvelopeUnusable(Refused):
    """The sealed PIN cannot be printed: sealed to another key, different from its event, or the address is too long."""

    reason = "envelope-unusable"


class PrinterFailed(Exception):
    """The printer failed at an envelope for an unknown reason; the text names the kind of error, and never the PIN."""


class ContactUnknown(Refused):
    """The renewal's CSRs were never requested, so no attestation has named its contact."""

    reason = "contact-unknown"


class ServerNameUnknown(Refused):
    """The event names a server that the item's certificate is not for: no e-mail carries such a text."""

    reason = "server-name-unknown"


class NumberUnusable(Refused):
    """The event has a text where a number must be: no e-mail carries it."""

    reason = "number-unusable"


class EnvelopeConflict(Refused):
    """Another letter for this server name is in progress, or this envelope came before with other content."""

    reason = "envelope-conflict"


class ReportRefused(Refused):
    """The text is not a report that one of our e-mails was given up."""

    reason = "report-refused"


class PostingRefused(Refused):
    """The operator's report about the post does not match the printed letters."""

    reason = "posting-refused"

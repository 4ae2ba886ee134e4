"""Does an e-Cert name the organisation that we have on file? By content: the CA moved its fields before."""

import unicodedata

from cryptography import x509

from services.identity.certificates import organisation_names
from services.identity.domain import Subscriber


def names(certificate: x509.Certificate, subscriber: Subscriber) -> bool:
    """Both the organisation's name and its business registration number stand in the subject."""
    values = organisation_names(certificate)
    wanted = {_plain(name) for name in (subscriber.name, subscriber.name_zh) if name}
    return any(_plain(value) in wanted for value in values) and any(
        _is_number(value, subscriber.brn) for value in values
    )


def _plain(name: str) -> str:
    """Case, width and spacing aside."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _is_number(value: str, brn: str) -> bool:
    """The BRN alone, or padded with zeros on one side to the length of the CA's field."""
    if not (value.isascii() and value.isdigit()):
        return False
    return value.lstrip("0") == brn.lstrip("0") or (value.startswith(brn) and not value[len(brn) :].strip("0"))

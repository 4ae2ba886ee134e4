"""Refusals of issuance, and the objections to a key."""

from collections.abc import Mapping
from enum import StrEnum

from shared.errors import Refused


class InvalidTransition(Refused):
    """The order's state does not allow this."""

    reason = "not-in-this-state"


class OrderNotFound(Refused):
    """The AR has no such order."""

    reason = "order-not-found"


class WrongReference(Refused):
    """The reference number is not this order's; no attempt was consumed."""

    reason = "wrong-reference"


class PINsMissing(Refused):
    """Not exactly the PINs of the order's server names; no attempt was consumed."""

    reason = "pins-missing"

    def __init__(self, *, missing: tuple[str, ...], surplus: tuple[str, ...]) -> None:
        super().__init__("send one PIN for each server name of the order")
        self.extensions = {"missing": list(missing), "surplus": list(surplus)}


class PINNotReady(Refused):
    """A PIN Envelope of this order has not been made yet."""

    reason = "pin-not-ready"


class PINWrong(Refused):
    """At least one PIN is wrong; each of those has lost an attempt."""

    reason = "pin-wrong"

    def __init__(self, tries_left: Mapping[str, int]) -> None:
        super().__init__("a PIN is wrong")
        self.extensions = {"wrong": [{"server_name": n, "tries_left": t} for n, t in sorted(tries_left.items())]}


class PINLocked(Refused):
    """A PIN is locked after five failed attempts: ask for a new PIN Envelope."""

    reason = "pin-locked"

    def __init__(self, server_names: tuple[str, ...]) -> None:
        super().__init__("a PIN has had all its tries; ask the CA for a new PIN Envelope")
        self.extensions = {"locked": list(server_names)}


class KeyObjection(StrEnum):
    """Reasons for not certifying a key; stable, since subscribers act on them."""

    BLOCKED = "key-blocked"
    OF_THE_CA = "key-of-the-ca"
    OF_ANOTHER_SUBSCRIBER = "key-of-another-subscriber"
    USED_BEFORE = "key-used-before"


class KeyNotAllowed(Refused):
    """The key may not be certified for this order, whatever its quality."""

    reason = "key-not-allowed"

    def __init__(self, reason: str) -> None:
        super().__init__("make a new key and a CSR with it")
        self.extensions = {"reason": reason}


class DomainNotFound(Refused):
    """The subscriber has not begun to prove control of this domain."""

    reason = "domain-not-found"


class TooManyDomains(Refused):
    """The subscriber has as many domains as one may have."""

    reason = "too-many-domains"


class CertificateNotFound(Refused):
    """No certificate has been issued for this order."""

    reason = "certificate-not-found"


class CertificateExpired(Refused):
    """The certificate has expired, and is not revoked any more."""

    reason = "certificate-expired"

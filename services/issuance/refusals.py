"""Refusals of issuance, and the objections to a key."""

from collections.abc import Mapping
from datetime import datetime
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
    """A PIN is locked after five failed attempts: a new PIN Envelope must be ordered."""

    reason = "pin-locked"

    def __init__(self, server_names: tuple[str, ...]) -> None:
        super().__init__("a PIN has had all its tries; order a new PIN Envelope")
        self.extensions = {"locked": list(server_names)}


class PINTooRecent(Refused):
    """The letter may still be in the post: it is not lost yet. `too_recent` names the times from which it is."""

    reason = "pin-too-recent"

    def __init__(self, possible_from: Mapping[str, datetime]) -> None:
        super().__init__("the PIN Envelope may still be in the post")
        self.extensions = {
            "too_recent": [
                {"server_name": name, "possible_from": moment.isoformat()}
                for name, moment in sorted(possible_from.items())
            ]
        }


class PINsUsedUp(Refused):
    """The server name has had as many new PIN Envelopes as an AR may order: the CA's staff decide."""

    reason = "pins-used-up"

    def __init__(self, server_names: tuple[str, ...]) -> None:
        super().__init__("no further PIN Envelope can be ordered for a server name")
        self.extensions = {"used_up": list(server_names)}


class PINNotLocked(Refused):
    """The PIN is not locked: it has tries left."""

    reason = "pin-not-locked"

    def __init__(self, server_names: tuple[str, ...]) -> None:
        super().__init__("a PIN has tries left")
        self.extensions = {"not_locked": list(server_names)}


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

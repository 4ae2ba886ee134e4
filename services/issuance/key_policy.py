"""Key policy: which public keys are refused because of who holds them, or because others know the private key."""

from dataclasses import dataclass

from services.issuance import store
from services.issuance.ca.weak_keys import WeakKeys
from services.issuance.csr.csr import CSR, KeyFault
from services.issuance.refusals import KeyObjection
from shared.db import Conn
from shared.vocabulary import ItemId


@dataclass(frozen=True, kw_only=True)
class KeyPolicy:
    """Settings of the key policy. `own` is the SHA-256 of the CA's own public key (SPKI)."""

    own: bytes
    allow_reuse: bool
    weak_keys: WeakKeys


def key_objection(
    conn: Conn, request: CSR, item_id: ItemId | None, subscriber_id: str, policy: KeyPolicy
) -> str | None:
    """Return why this key may not be certified for this order, or None.

    Checked when the CSR is submitted, before its intent is stored and before a waiting intent is signed. `item_id` is
    None if the CSR is only tried out before there is an order.
    """
    spki_sha256 = request.spki_sha256
    if store.is_blocked(conn, spki_sha256):
        return KeyObjection.BLOCKED
    if policy.weak_keys.has(request.spki):
        return KeyFault.WEAK.value
    if spki_sha256 == policy.own:
        return KeyObjection.OF_THE_CA
    owner = store.find_key_owner(conn, spki_sha256)
    if owner is not None and owner[0] != subscriber_id:
        return KeyObjection.OF_ANOTHER_SUBSCRIBER
    if owner is not None and owner[1] != item_id and not policy.allow_reuse:
        return KeyObjection.USED_BEFORE
    return None

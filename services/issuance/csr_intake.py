"""CSR submission: CSR and key are checked first, without side effects; then the PINs, at the cost of an attempt each.

The attempts are consumed and committed before any PIN is verified.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.issuance import pin_store, revocation, store
from services.issuance.csr import csr
from services.issuance.csr.csr import CSR, PrivateKeyPasted
from services.issuance.domain import PIN, Order, OrderState
from services.issuance.key_policy import KeyPolicy, key_objection
from services.issuance.pins import pins
from services.issuance.pins.pins import PINSlip, PINVerifier
from services.issuance.refusals import (
    KeyNotAllowed,
    OrderNotFound,
    PINLocked,
    PINNotReady,
    PINsMissing,
    PINWrong,
    WrongReference,
)
from shared import audit
from shared.db import Conn
from shared.errors import Refused
from shared.events.issuance import CSRReceived
from shared.messaging import outbox
from shared.pki.names import NameRefused, server_name
from shared.tx import Begin, Tx
from shared.validation import texts
from shared.validation.parsing_pool import INLINE, Parser
from shared.vocabulary import ItemId
from shared.web.auth import Caller


@dataclass(frozen=True, kw_only=True)
class SubmitCSR:
    """The AR's submission. Its repr shows neither PINs nor CSR text."""

    item_id: ItemId
    reference: str
    pins: Mapping[str, str] = field(repr=False)
    csr: str = field(repr=False)


def accept_csr(
    command: SubmitCSR,
    caller: Caller,
    begin: Begin,
    *,
    verifier: PINVerifier,
    policy: KeyPolicy,
    parser: Parser = INLINE,
) -> Order:
    """Accept a CSR with the PIN of each of its server names; a reissue has none. Only PINWrong costs an attempt.

    Every refusal leaves one row in the audit log; the row of a wrong PIN is written in the transaction that keeps the
    attempt consumed.
    """
    try:
        return _accept(command, caller, begin, verifier=verifier, policy=policy, parser=parser)
    except PINWrong:
        raise
    except Refused as refused:
        with begin() as tx:
            _record_refusal(tx, command, caller, getattr(refused, "extensions", {}).get("reason", refused.reason))
        raise


def _record_refusal(tx: Tx, command: SubmitCSR, caller: Caller, reason: str) -> None:
    details: dict[str, audit.Detail] = {"reason": reason}
    audit.record(tx, actor=caller.ar_id, action="csr-refused", subject=str(command.item_id), details=details)


def _accept(
    command: SubmitCSR, caller: Caller, begin: Begin, *, verifier: PINVerifier, policy: KeyPolicy, parser: Parser
) -> Order:
    with begin() as tx:
        order = own_order(tx.conn, command.item_id, caller)
    if texts.reference(command.reference) != texts.reference(order.reference):
        raise WrongReference("this is not the order's reference number")
    request = read(command.csr, caller, begin, parser)
    if order.csr_sha256 == request.sha256 and order.state is not OrderState.AWAITING_CSR:
        return order  # a repetition, since the answer was lost
    order.after(CSRReceived)
    csr.check_names(request, order.server_names)
    typed = _read_pins(command.pins, order)
    with begin() as tx:
        _check_key(tx.conn, request, order, caller, policy)
    with verifier.slot():
        with begin() as tx:
            found = _consume_attempts(tx, order)
        right = verifier.verify(found, typed)
        with begin() as tx:
            result = _store_or_refuse(tx, order.item_id, request, found, right, caller, policy)
    if isinstance(result, Refused):
        raise result
    return result


def own_order(conn: Conn, item_id: ItemId, caller: Caller) -> Order:
    """Return the order if this same AR signed for it. Raises OrderNotFound."""
    order = store.find_order(conn, item_id)
    renewal = store.find_renewal(conn, order.renewal_id) if order else None
    if order is None or renewal is None:
        raise OrderNotFound("there is no such order")
    if (renewal.subscriber_id, renewal.ar_id) != (caller.subscriber_id, caller.ar_id):
        raise OrderNotFound("there is no such order")
    return order


def read(text: str, caller: Caller, begin: Begin, parser: Parser) -> CSR:
    """Return the CSR in this text; a private key beside it is blocked for good. Raises CSRRefused or KeyRefused."""
    try:
        return parser.run(csr.read, text)
    except PrivateKeyPasted as pasted:
        for spki_sha256 in sorted(pasted.spki_sha256):
            with begin() as tx:
                revocation.block_key(tx, spki_sha256, source="private key pasted with a CSR", actor=caller.ar_id)
        if pasted.beside is not None:
            with begin() as tx:
                _block_own_key(tx, pasted.beside, caller)
        raise


def _block_own_key(tx: Tx, spki_sha256: bytes, caller: Caller) -> None:
    """Block the key of a CSR that came with an unreadable private key.

    Another subscriber's key is not blocked: a CSR is no secret, and with anything that looks like a private key anyone
    could have that subscriber's certificates revoked.
    """
    owner = store.find_key_owner(tx.conn, spki_sha256)
    if owner is None or owner[0] == caller.subscriber_id:
        revocation.block_key(tx, spki_sha256, source="unreadable private key beside its CSR", actor=caller.ar_id)


def _read_pins(given: Mapping[str, str], order: Order) -> dict[str, str]:
    named: dict[str, str] = {}
    surplus: list[str] = []
    for name, text in given.items():
        try:
            named[server_name(name)] = text
        except NameRefused:
            surplus.append(name[:253])
    wanted = _names_with_pins(order)
    surplus += sorted(set(named) - wanted)
    missing = sorted(wanted - set(named))
    if missing or surplus:
        raise PINsMissing(missing=tuple(missing), surplus=tuple(surplus))
    return _check_digits(named)


def _names_with_pins(order: Order) -> set[str]:
    return set() if order.reissue else set(order.server_names)


def _check_digits(named: Mapping[str, str]) -> dict[str, str]:
    """Return the PINs as digits. Raises PINSlip with the server names of all mistyped ones."""
    read: dict[str, str] = {}
    mistyped: list[str] = []
    for name, text in sorted(named.items()):
        try:
            read[name] = pins.typed(text)
        except PINSlip:
            mistyped.append(name)
    if mistyped:
        raise PINSlip(mistyped)
    return read


def _check_key(conn: Conn, request: CSR, order: Order, caller: Caller, policy: KeyPolicy) -> None:
    if reason := key_objection(conn, request, order.item_id, caller.subscriber_id, policy):
        raise KeyNotAllowed(reason)


def _consume_attempts(tx: Tx, order: Order) -> dict[str, PIN]:
    """Consume an attempt of each PIN, all or none. The caller commits before any PIN is verified."""
    locked = store.lock_order(tx.conn, order.item_id)
    assert locked is not None
    locked.after(CSRReceived)
    found = {pin.server_name: pin for pin in pin_store.find_pins(tx.conn, [order.item_id])}
    if any(pin.state != "sealed" for pin in found.values()) or set(found) != _names_with_pins(order):
        raise PINNotReady("the PIN Envelopes of this order have not all been made yet")
    if used_up := tuple(name for name, pin in found.items() if pin.tries >= pins.MAX_ATTEMPTS):
        raise PINLocked(used_up)
    consumed = pin_store.consume_attempts(tx.conn, [pin.envelope_id for pin in found.values()])
    if consumed != len(found):
        raise AssertionError("PINs changed under their order's lock")
    return found


def _store_or_refuse(
    tx: Tx,
    item_id: ItemId,
    request: CSR,
    found: Mapping[str, PIN],
    right: set[str],
    caller: Caller,
    policy: KeyPolicy,
) -> Order | Refused:
    """Restore the attempts of right PINs; store the CSR if all are right.

    Returns a refusal instead of raising it, so that the restored attempts are committed.
    """
    locked = store.find_order(tx.conn, item_id)
    assert locked is not None
    store.lock_gate(tx.conn, locked.renewal_id)
    order = store.lock_order(tx.conn, item_id)
    assert order is not None
    pin_store.restore_attempts(tx.conn, [found[name].envelope_id for name in right])
    now = {pin.server_name: pin for pin in pin_store.find_pins(tx.conn, [item_id])}
    if wrong := set(found) - right:
        return _refuse_pins(
            tx, order, {name: pins.MAX_ATTEMPTS - now[name].tries for name in wrong if name in now}, caller
        )
    if {pin.envelope_id for pin in now.values()} != {pin.envelope_id for pin in found.values()}:
        return PINNotReady("a PIN Envelope was replaced meanwhile")
    if reason := key_objection(tx.conn, request, item_id, caller.subscriber_id, policy):
        return KeyNotAllowed(reason)
    try:
        received = order.after(CSRReceived)
    except Refused as refused:  # cancelled, or a CSR came first; this same CSR, submitted twice at once, is no error
        return order if order.csr_sha256 == request.sha256 else refused
    store.claim_key(tx.conn, request.spki_sha256, caller.subscriber_id, item_id)
    return _store(tx, received, request, caller)


def _store(tx: Tx, order: Order, request: CSR, caller: Caller) -> Order:
    order = replace(
        order,
        csr=request.der,
        csr_sha256=request.sha256,
        spki_sha256=request.spki_sha256,
        key_kind=request.key_kind,
        csr_received_at=tx.now,
        refusal=None,
        obstacles=(),
        checks_asked_at=None,
        due_at=tx.now,
        traceparent=tx.traceparent,
    )
    store.save_order(tx.conn, order)
    digests = {"csr_sha256": request.sha256.hex(), "spki_sha256": request.spki_sha256.hex()}
    outbox.add(
        tx,
        CSRReceived(
            renewal_id=order.renewal_id,
            item_id=order.item_id,
            key_kind=request.key_kind,
            csr=base64.b64encode(request.der).decode(),
            **digests,
        ),
    )
    audit.record(tx, actor=caller.ar_id, action="csr-received", subject=str(order.item_id), details=digests)
    return order


def _refuse_pins(tx: Tx, order: Order, tries_left: Mapping[str, int], caller: Caller) -> Refused:
    audit.record(
        tx,
        actor=caller.ar_id,
        action="pin-wrong",
        subject=str(order.item_id),
        details={"server_names": sorted(tries_left), "locked": sorted(n for n, left in tries_left.items() if not left)},
    )
    return PINWrong(tries_left)

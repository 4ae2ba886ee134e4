"""Views of orders: their CSRs, certificates, acceptance and revocation."""

import uuid
from typing import Any

import flask

from services.issuance import certificate_store, csr_intake, csr_preflight, pin_orders, pin_store, revocation, store
from services.issuance.api.blueprint import Deps, blp
from services.issuance.api.files import attached, in_any_form
from services.issuance.ca.crl import RevocationReason
from services.issuance.certificate_forms import CHAIN_TYPE, certificate_file
from services.issuance.csr.csr import (
    CSRRefused,
    KeyRefused,
    NamesDiffer,
    PrivateKeyPasted,
    WeakSignature,
)
from services.issuance.csr_intake import SubmitCSR
from services.issuance.csr_preflight import CheckCSR
from services.issuance.domain import Order
from services.issuance.pin_orders import OrderPINs
from services.issuance.pins import pins
from services.issuance.pins.pins import PINSlip
from services.issuance.problems import PROBLEMS
from services.issuance.publication import NotPublished
from services.issuance.refusals import (
    CertificateExpired,
    CertificateNotFound,
    InvalidTransition,
    KeyNotAllowed,
    OrderNotFound,
    PINLocked,
    PINNotLocked,
    PINNotReady,
    PINsMissing,
    PINsUsedUp,
    PINTooRecent,
    PINWrong,
    WrongReference,
)
from services.issuance.schemas import (
    CertificateSchema,
    CheckedCSRSchema,
    CSRCheckSchema,
    CSRSchema,
    OrderSchema,
    PINOrderSchema,
    RevocationSchema,
)
from shared.db import Conn
from shared.validation.parsing_pool import TooCostly
from shared.vocabulary import ItemId, RenewalId
from shared.web import commands, problems, request
from shared.web.auth import SignInTooOld, require_recent_sign_in
from shared.web.openapi import refuses, signed_in


@blp.get("/renewals/<uuid:renewal_id>/orders")
@signed_in
@refuses(OrderNotFound)
@blp.response(200, OrderSchema(many=True))
def list_orders(renewal_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return the orders of a renewal, with the states of their PINs and certificates."""
    caller = request.caller()
    with request.transaction() as tx:
        renewal = store.find_renewal(tx.conn, RenewalId(renewal_id))
        if renewal is None or renewal.subscriber_id != caller.subscriber_id:
            raise OrderNotFound("there are no such orders")
        return _shown(tx.conn, store.find_orders(tx.conn, renewal.renewal_id))


@blp.post("/orders/<uuid:item_id>/csr")
@signed_in
@refuses(OrderNotFound, InvalidTransition)
@refuses(CSRRefused, WeakSignature, NamesDiffer, PrivateKeyPasted, KeyRefused, KeyNotAllowed, TooCostly)
@refuses(WrongReference, PINsMissing, PINSlip, PINNotReady, PINWrong, PINLocked)
@commands.in_several_transactions
@blp.arguments(CSRSchema)
@blp.response(200, OrderSchema)
def submit_csr(body: dict[str, Any], item_id: uuid.UUID) -> dict[str, Any]:
    """Submit an item's CSR with its reference number and the PIN of each of its server names."""
    deps = request.deps(Deps)
    command = SubmitCSR(item_id=ItemId(item_id), reference=body["reference"], pins=body["pins"], csr=body["csr"])
    order = csr_intake.accept_csr(
        command,
        request.caller(),
        request.transaction,
        verifier=deps.pin_verifier,
        policy=deps.key_policy,
        parser=deps.parser,
    )
    with request.transaction() as tx:
        return _shown(tx.conn, [order])[0]


@blp.post("/orders/<uuid:item_id>/pins")
@signed_in
@refuses(OrderNotFound, InvalidTransition, PINNotReady, PINsUsedUp, PINNotLocked, PINTooRecent)
@commands.in_one_transaction
@blp.arguments(PINOrderSchema)
@blp.response(200, OrderSchema)
def order_pins(body: dict[str, Any], item_id: uuid.UUID) -> dict[str, Any]:
    """Order new PIN Envelopes; the PINs in the earlier ones are void at once."""
    tx = commands.tx()
    command = OrderPINs(item_id=ItemId(item_id), server_names=tuple(body["server_names"]), reason=body["reason"])
    return _shown(tx.conn, [pin_orders.order_pins(tx, command, request.caller(), request.deps(Deps).pin_limits)])[0]


@blp.post("/csr-checks")
@signed_in
@refuses(OrderNotFound)
@blp.arguments(CSRCheckSchema)
@blp.response(200, CheckedCSRSchema)
def check_csr(command: CheckCSR) -> dict[str, Any]:
    """Check a CSR without reference number and PINs; nothing of it is stored."""
    deps = request.deps(Deps)
    checked = csr_preflight.check(
        command, request.caller(), request.transaction, policy=deps.key_policy, parser=deps.parser
    )
    refused, read = checked.refusal, checked.request
    problem = None if refused is None else problems.find(PROBLEMS, refused)
    return {
        "refusal": None if problem is None else problem.slug,
        "reason": None if refused is None else getattr(refused, "extensions", {}).get("reason"),
        "title": None if problem is None else problem.title,
        "detail": None if refused is None else str(refused),
        "key_kind": None if read is None else read.key_kind,
        "csr_sha256": None if read is None else read.sha256.hex(),
        "spki_sha256": None if read is None else read.spki_sha256.hex(),
        "subject": None if read is None else read.subject,
        "signature_algorithm": None if read is None else read.signature_algorithm,
        "names": checked.names,
        "certificate_names": checked.certificate_names,
        "differences": [
            {"server_name": name, "kind": kind}
            for kind in ("surplus", "missing")
            for name in getattr(refused, kind, ())
        ],
    }


@blp.get("/orders/<uuid:item_id>/certificate")
@signed_in
@refuses(OrderNotFound, CertificateNotFound)
@blp.response(200, {"type": "string"}, content_type=CHAIN_TYPE)
def download_certificate(item_id: uuid.UUID) -> flask.Response:
    """Return the certificate and its chain, in PEM."""
    return _own_certificate(item_id, "chain")


@blp.get("/orders/<uuid:item_id>/certificate/<string:form>")
@signed_in
@refuses(OrderNotFound, CertificateNotFound, NotPublished)
@in_any_form(headers={})
def download_certificate_in_form(item_id: uuid.UUID, form: str) -> flask.Response:
    """Return the certificate: `der`, `pem`, `chain` (PEM) or `pkcs7` (certs-only)."""
    return _own_certificate(item_id, form)


def _own_certificate(item_id: uuid.UUID, form: str) -> flask.Response:
    caller = request.caller()
    with request.transaction() as tx:
        order = revocation.find_own_order(tx.conn, ItemId(item_id), caller)
        certificate = revocation.find_certificate(tx.conn, order)
    return attached(certificate_file(certificate.der, request.deps(Deps).ca, form, stem=certificate.serial))


@blp.post("/orders/<uuid:item_id>/acceptance")
@signed_in
@refuses(OrderNotFound, CertificateNotFound, InvalidTransition)
@commands.in_one_transaction
@blp.response(200, CertificateSchema)
def accept_certificate(item_id: uuid.UUID) -> Any:
    """Accept the certificate's content and its publication."""
    return revocation.accept(commands.tx(), ItemId(item_id), request.caller())


@blp.post("/orders/<uuid:item_id>/revocation")
@signed_in
@refuses(OrderNotFound, CertificateNotFound, CertificateExpired, SignInTooOld)
@commands.in_one_transaction
@blp.arguments(RevocationSchema)
@blp.response(200, CertificateSchema)
def revoke_certificate(body: dict[str, Any], item_id: uuid.UUID) -> Any:
    """Revoke the certificate, soon after a sign-in with the e-Cert; the next CRL lists it within minutes."""
    caller, tx = request.caller(), commands.tx()
    require_recent_sign_in(caller, max_age=request.deps(Deps).sign_in_max_age, now=tx.now)
    return revocation.revoke_own(tx, ItemId(item_id), RevocationReason(body["reason"]), caller)


def _shown(conn: Conn, orders: list[Order]) -> list[dict[str, Any]]:
    item_ids = [order.item_id for order in orders]
    certificates = certificate_store.find_certificates(conn, item_ids)
    found = pin_store.find_pins(conn, item_ids)
    limits = request.deps(Deps).pin_limits
    listed = store.find_listing_times(conn, [certificate.serial for certificate in certificates.values()])
    shown = {each.item_id: vars(each) | {"listed_at": listed.get(each.serial)} for each in certificates.values()}
    return [
        vars(order)
        | {
            "certificate": shown.get(order.item_id),
            "pins": [
                {
                    "server_name": pin.server_name,
                    "state": "locked" if pin.state == "sealed" and pin.tries >= pins.MAX_ATTEMPTS else pin.state,
                    "tries_left": pins.MAX_ATTEMPTS - pin.tries,
                    "new_pins_left": limits.left(pin),
                    "lost_from": limits.lost_from(pin),
                }
                for pin in found
                if pin.item_id == order.item_id
            ],
        }
        for order in orders
    ]

"""HTTP API of issuance: orders, CSRs, certificates; in public the CRL and the issuing CA's certificate."""

import uuid
from dataclasses import dataclass
from datetime import UTC, timedelta
from http import HTTPStatus
from typing import Any, Final

import flask
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.issuance import certificate_store, csr_intake, csr_preflight, pin_store, revocation, store
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.crl import RevocationReason
from services.issuance.csr.csr import (
    CSRFault,
    CSRRefused,
    KeyFault,
    KeyRefused,
    NamesDiffer,
    PrivateKeyPasted,
    WeakSignature,
)
from services.issuance.csr_intake import SubmitCSR
from services.issuance.csr_preflight import CheckCSR
from services.issuance.domain import Order
from services.issuance.key_policy import KeyPolicy
from services.issuance.pins import pins
from services.issuance.pins.pins import PINSlip, PINVerifier
from services.issuance.refusals import (
    CertificateExpired,
    CertificateNotFound,
    InvalidTransition,
    KeyNotAllowed,
    KeyObjection,
    OrderNotFound,
    PINLocked,
    PINNotReady,
    PINsMissing,
    PINWrong,
    WrongReference,
)
from services.issuance.schemas import (
    CertificateSchema,
    CheckedCSRSchema,
    CSRCheckSchema,
    CSRSchema,
    OrderSchema,
    RevocationSchema,
)
from shared.db import Conn
from shared.errors import Unavailable
from shared.validation.parsing_pool import Parser, TooCostly
from shared.vocabulary import ItemId, RenewalId
from shared.web import commands, problems, request
from shared.web.openapi import Blueprint, for_everyone, refuses, signed_in
from shared.web.problems import Problem, ProblemTable, names, one_of

_UNPROCESSABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY
_CSR_REASON: Final = {"reason": one_of(CSRFault, "Why the CSR cannot be used")}
PROBLEMS: Final[ProblemTable] = {
    OrderNotFound: Problem(HTTPStatus.NOT_FOUND, OrderNotFound.reason, "Unknown order"),
    CertificateNotFound: Problem(HTTPStatus.NOT_FOUND, CertificateNotFound.reason, "No certificate issued yet"),
    InvalidTransition: Problem(HTTPStatus.CONFLICT, InvalidTransition.reason, "Order state does not allow this"),
    CertificateExpired: Problem(HTTPStatus.CONFLICT, CertificateExpired.reason, "Certificate has expired"),
    CSRRefused: Problem(_UNPROCESSABLE, CSRRefused.reason, "CSR not usable", members=_CSR_REASON),
    WeakSignature: Problem(
        _UNPROCESSABLE, WeakSignature.reason, "CSR signature too weak; sign with SHA-256", members=_CSR_REASON
    ),
    NamesDiffer: Problem(
        _UNPROCESSABLE,
        NamesDiffer.reason,
        "CSR names differ from the order",
        members={
            **_CSR_REASON,
            "surplus": names("Names of the CSR that were not ordered"),
            "missing": names("Ordered names that the CSR lacks"),
        },
    ),
    PrivateKeyPasted: Problem(
        _UNPROCESSABLE,
        PrivateKeyPasted.reason,
        "Private key sent; it is compromised, make a new one",
        members=_CSR_REASON,
    ),
    KeyRefused: Problem(
        _UNPROCESSABLE,
        KeyRefused.reason,
        "CSR key not allowed",
        members={"reason": one_of(KeyFault, "Why the key is not allowed")},
    ),
    KeyNotAllowed: Problem(
        _UNPROCESSABLE,
        KeyNotAllowed.reason,
        "CSR key not allowed for this order",
        members={"reason": one_of([*KeyObjection, KeyFault.WEAK], "Why the key may not be used")},
    ),
    WrongReference: Problem(_UNPROCESSABLE, WrongReference.reason, "Reference number is not the order's"),
    PINsMissing: Problem(
        _UNPROCESSABLE,
        PINsMissing.reason,
        "PINs must be exactly one for each server name of the order",
        members={
            "missing": names("Server names without a PIN"),
            "surplus": names("Names with a PIN that the order does not have"),
        },
    ),
    PINSlip: Problem(
        _UNPROCESSABLE,
        PINSlip.reason,
        "PIN mistyped; no attempt consumed",
        members={"mistyped": names("Server names whose PIN fails its check digit")},
    ),
    PINNotReady: Problem(HTTPStatus.CONFLICT, PINNotReady.reason, "PIN Envelope not made yet"),
    PINWrong: Problem(
        HTTPStatus.FORBIDDEN,
        PINWrong.reason,
        "PIN wrong",
        members={
            "wrong": {
                "type": "array",
                "description": "Server names whose PIN is wrong, each with the tries it has left",
                "items": {
                    "type": "object",
                    "required": ["server_name", "tries_left"],
                    "properties": {"server_name": {"type": "string"}, "tries_left": {"type": "integer"}},
                    "additionalProperties": False,
                },
            }
        },
    ),
    PINLocked: Problem(
        HTTPStatus.FORBIDDEN,
        PINLocked.reason,
        "PIN locked after five failed attempts",
        members={"locked": names("Server names whose PIN Envelope must be replaced")},
    ),
}
# Relying parties may cache a CRL for an hour: then the next one is published.
_CRL_AGE: Final = timedelta(hours=1)
_CA_AGE: Final = timedelta(days=1)

_BYTES: Final = {"type": "string", "format": "binary"}
_CACHED: Final = {"ETag": {"required": True, "schema": {"type": "string"}}}

blp = Blueprint("issuance", __name__, description="Orders, CSRs, certificates and the CRL")
not_modified = blp.alt_response(HTTPStatus.NOT_MODIFIED, description="Unchanged since the `ETag` in `If-None-Match`")


class NoCRLYet(Unavailable):
    """No CRL has been made yet."""

    reason = "no-crl-yet"


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by main.py. The web process has no CA key."""

    ca: IssuingCA
    pin_verifier: PINVerifier
    key_policy: KeyPolicy
    parser: Parser


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
@blp.response(200, {"type": "string"}, content_type="application/pem-certificate-chain")
def download_certificate(item_id: uuid.UUID) -> flask.Response:
    """Return the certificate and its chain, in PEM."""
    caller = request.caller()
    with request.transaction() as tx:
        order = revocation.find_own_order(tx.conn, ItemId(item_id), caller)
        certificate = revocation.find_certificate(tx.conn, order)
    pem = x509.load_der_x509_certificate(certificate.der).public_bytes(serialization.Encoding.PEM).decode()
    return flask.Response(pem + request.deps(Deps).ca.chain_pem, content_type="application/pem-certificate-chain")


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
@refuses(OrderNotFound, CertificateNotFound, CertificateExpired)
@commands.in_one_transaction
@blp.arguments(RevocationSchema)
@blp.response(200, CertificateSchema)
def revoke_certificate(body: dict[str, Any], item_id: uuid.UUID) -> Any:
    """Revoke the certificate; the next CRL lists it within minutes."""
    return revocation.revoke_own(commands.tx(), ItemId(item_id), RevocationReason(body["reason"]), request.caller())


@blp.get("/crl")
@for_everyone
@not_modified
@blp.response(200, _BYTES, content_type="application/pkix-crl", headers=_CACHED)
def download_crl() -> flask.Response:
    """Return the certificate revocation list (DER)."""
    with request.transaction() as tx:
        latest = certificate_store.latest_crl(tx.conn)
    if latest is None or latest.der is None:
        raise NoCRLYet("try again in a moment")
    response = flask.Response(latest.der, content_type="application/pkix-crl")
    response.last_modified = latest.this_update.astimezone(UTC)
    return _public(response, f"crl-{latest.number}", _CRL_AGE)


@blp.get("/ca-certificate")
@for_everyone
@not_modified
@blp.response(200, _BYTES, content_type="application/pkix-cert", headers=_CACHED)
def download_ca_certificate() -> flask.Response:
    """Return the issuing CA's certificate (DER)."""
    ca = request.deps(Deps).ca
    response = flask.Response(ca.der, content_type="application/pkix-cert")
    return _public(response, f"ca-{ca.key_identifier.hex()}", _CA_AGE)


def _public(response: flask.Response, etag: str, age: timedelta) -> flask.Response:
    response.set_etag(etag)
    response.cache_control.public = True
    response.cache_control.max_age = int(age.total_seconds())
    response.make_conditional(flask.request)
    return response


def _shown(conn: Conn, orders: list[Order]) -> list[dict[str, Any]]:
    item_ids = [order.item_id for order in orders]
    certificates = certificate_store.find_certificates(conn, item_ids)
    found = pin_store.find_pins(conn, item_ids)
    return [
        vars(order)
        | {
            "certificate": certificates.get(order.item_id),
            "pins": [
                {
                    "server_name": pin.server_name,
                    "state": "locked" if pin.state == "sealed" and pin.tries >= pins.MAX_ATTEMPTS else pin.state,
                    "tries_left": pins.MAX_ATTEMPTS - pin.tries,
                }
                for pin in found
                if pin.item_id == order.item_id
            ],
        }
        for order in orders
    ]

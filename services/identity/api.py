"""HTTP: sign in, authorise a checkout, attest a signature, who am I, public keys."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import flask
from cryptography import x509
from flask_smorest import Blueprint

from services.identity import attesting, handlers, xfcc
from services.identity.attesting import Attest
from services.identity.certificates import Trust
from services.identity.domain import (
    CertificateRefused,
    ClientCertificateMalformed,
    ClientCertificateMissing,
    DocumentRefused,
    NonceSpent,
    NotEnrolled,
    OfficeEnded,
    OrganisationMismatch,
    OtherCertificate,
    RevocationUnknown,
    SignatureRefused,
)
from services.identity.schemas import (
    AttestationRequestSchema,
    AttestationSchema,
    CallerSchema,
    CheckoutAuthorisationSchema,
    CheckoutRequestSchema,
    KeySetSchema,
    TokenSchema,
)
from services.identity.store import Evidence
from shared import web
from shared.events.base import RenewalId
from shared.problems import Problem, ProblemTable
from shared.tokens import SigningKey, TokenKind
from shared.tx import Tx

PROBLEMS: Final[ProblemTable] = {
    ClientCertificateMissing: Problem(
        HTTPStatus.FORBIDDEN, ClientCertificateMissing.reason, "Sign in with your e-Cert (Organisational)"
    ),
    ClientCertificateMalformed: Problem(
        HTTPStatus.BAD_REQUEST, ClientCertificateMalformed.reason, "The client certificate cannot be read"
    ),
    CertificateRefused: Problem(HTTPStatus.FORBIDDEN, "certificate-refused", "The e-Cert is not accepted"),
    RevocationUnknown: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        RevocationUnknown.reason,
        "Whether the e-Cert is revoked cannot be told now; try again later",
        retry_after=60,
    ),
    NotEnrolled: Problem(HTTPStatus.FORBIDDEN, NotEnrolled.reason, "This e-Cert is not registered"),
    OrganisationMismatch: Problem(
        HTTPStatus.FORBIDDEN, OrganisationMismatch.reason, "The e-Cert names another organisation"
    ),
    OfficeEnded: Problem(HTTPStatus.FORBIDDEN, OfficeEnded.reason, "You no longer act for this subscriber"),
    OtherCertificate: Problem(
        HTTPStatus.FORBIDDEN, OtherCertificate.reason, "The signature was made with another e-Cert"
    ),
    SignatureRefused: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "signature-refused", "The signature is not accepted"),
    DocumentRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "document-refused", "The signed document is not your application"
    ),
    NonceSpent: Problem(HTTPStatus.CONFLICT, NonceSpent.reason, "This application was signed before"),
}

blp = Blueprint("identity", __name__, description="Who may act for a subscriber, and what they signed")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What main.py builds for the requests."""

    trust: Trust
    key: SigningKey
    jwks: dict[str, Any]


def _deps() -> Deps:
    return web.deps(Deps)


@blp.post("/tokens")
@blp.response(200, TokenSchema)
def sign_in() -> dict[str, Any]:
    """Sign in by the client certificate of this connection; a short access token comes back."""
    token = _with_certificate(
        "sign-in-refused",
        lambda certificate, tx: handlers.sign_in(certificate, tx, trust=_deps().trust, key=_deps().key),
    )
    return {"access_token": token, "token_type": "Bearer", "expires_in": _seconds(TokenKind.ACCESS)}


@blp.post("/checkout-authorisations")
@blp.arguments(CheckoutRequestSchema)
@blp.response(200, CheckoutAuthorisationSchema)
def authorise_checkout(body: dict[str, UUID]) -> dict[str, Any]:
    """Have the client certificate checked again, now, to pay for one renewal."""
    renewal_id = RenewalId(body["renewal_id"])
    token = _with_certificate(
        "checkout-refused",
        lambda certificate, tx: handlers.authorise_checkout(
            certificate, renewal_id, tx, trust=_deps().trust, key=_deps().key
        ),
    )
    return {"authorisation": token, "expires_in": _seconds(TokenKind.CHECKOUT)}


@blp.post("/attestations")
@web.command
@blp.arguments(AttestationRequestSchema)
@blp.response(201, AttestationSchema)
def attest(command: Attest) -> Evidence:
    """Have the signature over an application verified and attested."""
    return attesting.attest(command, web.caller(), web.tx(), trust=_deps().trust, key=_deps().key)


@blp.get("/me")
@blp.response(200, CallerSchema)
def show_caller() -> dict[str, Any]:
    """The signed-in Authorised Representative and their organisation, as on file."""
    caller = web.caller()
    with web.transaction() as tx:
        ar, subscriber = handlers.show_caller(caller, tx)
    return {
        "subscriber": subscriber,
        "authorised_representative": ar,
        "certificate_sha256": caller.certificate_sha256,
    }


@blp.get("/jwks")
@blp.response(200, KeySetSchema)
def show_keys() -> dict[str, Any]:
    """The public keys that verify identity's tokens."""
    return _deps().jwks


def _with_certificate(action: str, handle: Callable[[x509.Certificate, Tx], str]) -> str:
    """Handle a request that the client certificate decides; who is turned away is written down too."""
    certificate = xfcc.parse(flask.request.headers.get("X-Forwarded-Client-Cert"))
    try:
        with web.transaction() as tx:
            return handle(certificate, tx)
    except (CertificateRefused, RevocationUnknown, NotEnrolled, OrganisationMismatch) as refused:
        with web.transaction() as tx:
            handlers.record_refusal(refused.reason, certificate, action, tx)
        raise


def _seconds(kind: TokenKind) -> int:
    assert kind.lifetime is not None
    return int(kind.lifetime.total_seconds())

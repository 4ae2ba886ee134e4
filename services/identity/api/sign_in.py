"""Sign-in by certificate, code or signature: access tokens, checkout authorisations, and the keys that verify them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import flask
from cryptography import x509

from services.identity import authorising, challenging, handlers, reading
from services.identity.api.blueprint import CERTIFICATE_REFUSALS, at_sign_in_host, blp, deps, judges_certificate
from services.identity.api.redirects import redirect_with_code, redirects_to_portal
from services.identity.authorising import RedeemCode
from services.identity.challenging import AnswerChallenge
from services.identity.handlers import Tokens
from services.identity.one_time_store import Challenge
from services.identity.refusals import ChallengeRefused, CodeRefused, RedirectRefused, SignatureRefused
from services.identity.schemas import (
    AUTHORISE_PARAMETERS,
    ChallengeAnswerSchema,
    ChallengeRequestSchema,
    ChallengeSchema,
    CheckoutAuthorisationSchema,
    CheckoutRequestSchema,
    CodeSchema,
    TokenSchema,
    TokensSchema,
)
from shared.pki.certificates import sha256
from shared.security.tokens import TokenKind
from shared.tx import Tx
from shared.validation.parsing_pool import TooCostly
from shared.vocabulary import RenewalId
from shared.web import client_certificate, request
from shared.web.openapi import for_everyone, refuses
from shared.web.problem_api import KeySetSchema

T = TypeVar("T")


@blp.post("/tokens")
@at_sign_in_host
@judges_certificate
@blp.response(200, TokenSchema)
def create_token() -> dict[str, Any]:
    """Sign in with the client certificate of this connection. Returns a short-lived access token."""
    token = _with_certificate(
        "sign-in-refused",
        lambda tx, certificate: handlers.sign_in(tx, certificate, trust=deps().trust, key=deps().key),
    )
    return {"access_token": token, "token_type": "Bearer", "expires_in": _seconds(TokenKind.ACCESS)}


@blp.get("/authorise")
@at_sign_in_host
@refuses(RedirectRefused)
@blp.doc(parameters=AUTHORISE_PARAMETERS)
@redirects_to_portal
def create_code() -> flask.Response:
    """Sign in with the client certificate of this connection, for the portal: redirects there with a code."""
    return redirect_with_code(
        lambda command: _with_certificate(
            "sign-in-refused",
            lambda tx, certificate: authorising.authorise(tx, command, certificate, trust=deps().trust),
        )
    )


@blp.post("/codes")
@for_everyone
@judges_certificate
@refuses(CodeRefused)
@blp.arguments(CodeSchema)
@blp.response(200, TokensSchema)
def redeem_code(command: RedeemCode) -> dict[str, Any]:
    """Exchange a code for an access token; if it was requested for a renewal, with an authorisation to pay."""
    with request.transaction() as tx:
        code = authorising.take_code(tx, command)
    if isinstance(code, CodeRefused):
        raise code
    with _audit_refusal("sign-in-refused", code.certificate_sha256), request.transaction() as tx:
        tokens = authorising.redeem(tx, code, trust=deps().trust, key=deps().key)
    return _shown(tokens)


@blp.post("/challenges")
@for_everyone
@blp.arguments(ChallengeRequestSchema)
@blp.response(201, ChallengeSchema)
def make_challenge(body: dict[str, UUID]) -> Challenge:
    """Return a challenge to sign with an e-Cert, for clients that cannot present it to this connection."""
    renewal_id = RenewalId(body["renewal_id"]) if "renewal_id" in body else None
    with request.transaction() as tx:
        return challenging.challenge(tx, renewal_id, origin=deps().origin)


@blp.post("/challenge-tokens")
@for_everyone
@judges_certificate
@refuses(ChallengeRefused, SignatureRefused, TooCostly)
@blp.arguments(ChallengeAnswerSchema)
@blp.response(200, TokensSchema)
def answer_challenge(command: AnswerChallenge) -> dict[str, Any]:
    """Sign in with a signature over a challenge; a refused one does not use up the challenge."""
    signer: str | None = None
    try:
        certificate = challenging.verify(request.transaction, command, deps().parser)
        signer = sha256(certificate)
        with request.transaction() as tx:
            tokens = challenging.sign_in(tx, command, certificate, trust=deps().trust, key=deps().key)
    except (ChallengeRefused, SignatureRefused, *CERTIFICATE_REFUSALS) as refused:
        with request.transaction() as tx:
            challenging.record_refusal(tx, command, refused.reason, signer)
        raise
    return _shown(tokens)


@blp.post("/checkout-authorisations")
@at_sign_in_host
@judges_certificate
@blp.arguments(CheckoutRequestSchema)
@blp.response(200, CheckoutAuthorisationSchema)
def create_checkout_authorisation(body: dict[str, UUID]) -> dict[str, Any]:
    """Validate the client certificate again, for the payment of one renewal. Returns a checkout authorisation."""
    renewal_id = RenewalId(body["renewal_id"])
    token = _with_certificate(
        "checkout-refused",
        lambda tx, certificate: handlers.authorise_checkout(
            tx, certificate, renewal_id, trust=deps().trust, key=deps().key
        ),
    )
    return {"authorisation": token, "expires_in": _seconds(TokenKind.CHECKOUT)}


@blp.get("/jwks")
@for_everyone
@blp.response(200, KeySetSchema)
def show_keys() -> dict[str, Any]:
    """Return the public keys that verify identity's tokens."""
    return deps().jwks


def _with_certificate(action: str, handle: Callable[[Tx, x509.Certificate], T]) -> T:
    """Handle a request that the client certificate authenticates."""
    der = client_certificate.parse(flask.request.headers.get(client_certificate.HEADER))
    with _audit_refusal(action, hashlib.sha256(der).hexdigest()):
        certificate = reading.read_certificate(deps().parser, der)
        with request.transaction() as tx:
            return handle(tx, certificate)


@contextmanager
def _audit_refusal(action: str, certificate_sha256: str) -> Iterator[None]:
    """Audit a refused sign-in in a separate transaction, because the request's own is rolled back."""
    try:
        yield
    except CERTIFICATE_REFUSALS as refused:
        with request.transaction() as tx:
            handlers.record_refusal(tx, refused.reason, certificate_sha256, action)
        raise


def _shown(tokens: Tokens) -> dict[str, Any]:
    shown = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": _seconds(TokenKind.ACCESS),
    }
    return shown if tokens.authorisation is None else shown | {"authorisation": tokens.authorisation}


def _seconds(kind: TokenKind) -> int:
    assert kind.lifetime is not None
    return int(kind.lifetime.total_seconds())

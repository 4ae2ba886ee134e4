"""HTTP API of identity: sign-in by certificate, code or signature; checkout authorisation,
attestation, sessions, keys.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import flask
from cryptography import x509

from services.identity import attesting, authorising, challenging, examining, handlers, reading, sessions
from services.identity.attesting import Attest, Keys
from services.identity.authorising import Authorise, RedeemCode
from services.identity.certificates import Trust
from services.identity.challenging import AnswerChallenge
from services.identity.examining import Report
from services.identity.handlers import Tokens
from services.identity.one_time_store import Challenge
from services.identity.problems import PROBLEMS as PROBLEMS  # every API module exports its table of problems
from services.identity.refusals import (
    AuthorisationRefused,
    CertificateRefused,
    ChallengeRefused,
    CodeRefused,
    DocumentRefused,
    NonceSpent,
    NotEnrolled,
    OfficeEnded,
    OrganisationMismatch,
    OtherCertificate,
    RecordUnusable,
    RedirectRefused,
    SignatureRefused,
    TicketRefused,
)
from services.identity.schemas import (
    AUTHORISE_PARAMETERS,
    AttestationRequestSchema,
    AttestationSchema,
    CallerSchema,
    ChallengeAnswerSchema,
    ChallengeRequestSchema,
    ChallengeSchema,
    CheckoutAuthorisationSchema,
    CheckoutRequestSchema,
    CodeSchema,
    ReportSchema,
    TokenSchema,
    TokensSchema,
)
from services.identity.store import Evidence
from shared.db import UNAVAILABLE
from shared.errors import Refused
from shared.pki.certificates import sha256
from shared.pki.crls import RevocationUnknown
from shared.security.tokens import DRAFT_TICKET_HEADER, KeySet, SigningKey, TokenKind
from shared.tx import Tx
from shared.validation.parsing_pool import Parser, TooCostly
from shared.vocabulary import RenewalId
from shared.web import client_certificate, openapi, problems, request
from shared.web.auth import claims_of
from shared.web.openapi import SIGN_IN_HOST, Blueprint, by_client_certificate, for_everyone, refuses, signed_in
from shared.web.problem_api import KeySetSchema

_TURNED_AWAY: Final = (CertificateRefused, RevocationUnknown, NotEnrolled, OrganisationMismatch)
# Refusals of sign-ins that are audited.
_AUDITED: Final = (*_TURNED_AWAY, TooCostly)
T = TypeVar("T")
at_sign_in_host = by_client_certificate(SIGN_IN_HOST)
judges_certificate = refuses(*_AUDITED)
View = TypeVar("View", bound=Callable[..., Any])


def _audit_refused_attestation(view: View) -> View:
    """Decorate a view to audit refused attestations in a separate transaction, because the request's own is rolled
    back.
    """

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return view(*args, **kwargs)
        except (Refused, RevocationUnknown) as refused:
            command: Attest | None = flask.g.get("attesting")
            if command is not None:  # refused before the command was parsed
                with request.transaction() as tx:
                    attesting.record_refusal(tx, command, request.caller(), refused.reason)
            raise

    return cast(View, run)


blp = Blueprint("identity", __name__, description="Authorised Representatives, their sign-ins and signatures")
redirects = blp.response(
    303,
    {"type": "string"},
    content_type="text/html",
    description="Redirect to redirect_uri, with `code` or `error`, and `state`",
    headers={"Location": {"required": True, "schema": {"type": "string", "format": "uri"}}},
)


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by main.py."""

    trust: Trust
    key: SigningKey
    application_keys: KeySet
    jwks: dict[str, Any]
    redirect_uris: tuple[str, ...]
    origin: str
    parser: Parser


def _deps() -> Deps:
    return request.deps(Deps)


@blp.post("/tokens")
@at_sign_in_host
@judges_certificate
@blp.response(200, TokenSchema)
def create_token() -> dict[str, Any]:
    """Sign in with the client certificate of this connection. Returns a short-lived access token."""
    token = _with_certificate(
        "sign-in-refused",
        lambda tx, certificate: handlers.sign_in(tx, certificate, trust=_deps().trust, key=_deps().key),
    )
    return {"access_token": token, "token_type": "Bearer", "expires_in": _seconds(TokenKind.ACCESS)}


@blp.get("/authorise")
@at_sign_in_host
@refuses(RedirectRefused)
@blp.doc(parameters=AUTHORISE_PARAMETERS)
@redirects
def create_code() -> flask.Response:
    """Sign in with the client certificate of this connection, for the portal: redirects there with a code."""
    return _code_for(
        lambda command: _with_certificate(
            "sign-in-refused",
            lambda tx, certificate: authorising.authorise(tx, command, certificate, trust=_deps().trust),
        )
    )


@blp.get("/certificate-tests")
@at_sign_in_host
@refuses(RedirectRefused)
@blp.doc(parameters=AUTHORISE_PARAMETERS[:-1])
@redirects
def show_certificate() -> flask.Response:
    """Examine the client certificate of this connection for the portal, without a sign-in."""

    def show(command: Authorise) -> str:
        certificate = _client_certificate()
        with request.transaction() as tx:
            return examining.show(tx, command, certificate)

    return _code_for(show)


def _code_for(make: Callable[[Authorise], str]) -> flask.Response:
    """Redirect to the portal with a code, or with the reason why there is none."""
    given = flask.request.args.getlist
    redirect_uri = authorising.read_redirect_uri(given("redirect_uri"), _deps().redirect_uris)
    state = authorising.read_state(given("state"))
    try:
        if state is None:
            raise AuthorisationRefused("state must be one of 8 to 1024 visible ASCII characters")
        command = authorising.read_authorise(
            redirect_uri,
            challenges=given("code_challenge"),
            methods=given("code_challenge_method"),
            renewals=given("renewal_id"),
        )
        code = make(command)
    except (Refused, *UNAVAILABLE) as error:
        problem = problems.find(PROBLEMS, error) or problems.UNAVAILABLE
        reason = getattr(error, "extensions", {}).get("reason")
        return _going_back(redirect_uri, error=problem.slug, reason=reason, state=state)
    return _going_back(redirect_uri, code=code, state=state)


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
        tokens = authorising.redeem(tx, code, trust=_deps().trust, key=_deps().key)
    return _shown(tokens)


@blp.post("/certificate-test-results")
@for_everyone
@refuses(CodeRefused, CertificateRefused, TooCostly)
@blp.arguments(CodeSchema)
@blp.response(200, ReportSchema)
def show_report(command: RedeemCode) -> Report:
    """Exchange a code for the findings about the presented certificate."""
    with request.transaction() as tx:
        certificate = examining.take_shown(tx, command, _deps().parser)
    if isinstance(certificate, CodeRefused):
        raise certificate
    with request.transaction() as tx:
        return examining.examine(tx, certificate, trust=_deps().trust)


@blp.post("/challenges")
@for_everyone
@blp.arguments(ChallengeRequestSchema)
@blp.response(201, ChallengeSchema)
def make_challenge(body: dict[str, UUID]) -> Challenge:
    """Return a challenge to sign with an e-Cert, for clients that cannot present it to this connection."""
    renewal_id = RenewalId(body["renewal_id"]) if "renewal_id" in body else None
    with request.transaction() as tx:
        return challenging.challenge(tx, renewal_id, origin=_deps().origin)


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
        with request.transaction() as tx:
            certificate = challenging.verify(tx, command, _deps().parser)
        signer = sha256(certificate)
        with request.transaction() as tx:
            tokens = challenging.sign_in(tx, command, certificate, trust=_deps().trust, key=_deps().key)
    except (ChallengeRefused, SignatureRefused, *_AUDITED) as refused:
        with request.transaction() as tx:
            challenging.record_refusal(tx, command, refused.reason, signer)
        raise
    return _shown(tokens)


@blp.post("/challenge-tests")
@for_everyone
@refuses(ChallengeRefused, SignatureRefused, CertificateRefused, TooCostly)
@blp.arguments(ChallengeAnswerSchema)
@blp.response(200, ReportSchema)
def show_signer(command: AnswerChallenge) -> Report:
    """Return the findings about the e-Cert that signed a challenge, and use up the challenge; without a sign-in."""
    with request.transaction() as tx:
        certificate = challenging.verify(tx, command, _deps().parser)
        challenging.take(tx, command)
        return examining.examine(tx, certificate, trust=_deps().trust)


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
            tx, certificate, renewal_id, trust=_deps().trust, key=_deps().key
        ),
    )
    return {"authorisation": token, "expires_in": _seconds(TokenKind.CHECKOUT)}


@blp.post("/attestations")
@signed_in
@judges_certificate
@refuses(DocumentRefused, TicketRefused, SignatureRefused, OtherCertificate, OfficeEnded, NonceSpent, RecordUnusable)
@openapi.takes_header(DRAFT_TICKET_HEADER, "As application gave it with the document; within 15 minutes")
@_audit_refused_attestation
@request.command
@blp.arguments(AttestationRequestSchema)
@blp.response(201, AttestationSchema)
def create_attestation(command: Attest) -> Evidence:
    """Verify and attest the signature over an application."""
    # Not in the body: with a fresh ticket the same key and body must get the same answer.
    command = replace(command, ticket=flask.request.headers.get(DRAFT_TICKET_HEADER))
    flask.g.attesting = command
    deps = _deps()
    keys = Keys(signing=deps.key, application=deps.application_keys)
    return attesting.attest(request.tx(), command, request.caller(), trust=deps.trust, keys=keys, parser=deps.parser)


@blp.get("/me")
@signed_in
@refuses(OfficeEnded)
@blp.response(200, CallerSchema)
def show_caller() -> dict[str, Any]:
    """Return the signed-in AR and their organisation, as in the register."""
    caller = request.caller()
    with request.transaction() as tx:
        ar, subscriber = handlers.find_caller(tx, caller)
    return {
        "subscriber": subscriber,
        "authorised_representative": ar,
        "certificate_sha256": caller.certificate_sha256,
    }


@blp.get("/session")
@signed_in
@blp.response(204)
def show_session() -> flask.Response:
    """Return whether the access token's session is open: 401 once it was ended."""
    with request.transaction() as tx:
        sessions.require_open(tx, _claims())
    return flask.Response(status=HTTPStatus.NO_CONTENT)


@blp.post("/session-ends")
@signed_in
@blp.response(204)
def end_session() -> flask.Response:
    """End the access token's session: the portal shows no signed-in page for it any more."""
    with request.transaction() as tx:
        sessions.end(tx, _claims())
    return flask.Response(status=HTTPStatus.NO_CONTENT)


@blp.get("/jwks")
@for_everyone
@blp.response(200, KeySetSchema)
def show_keys() -> dict[str, Any]:
    """Return the public keys that verify identity's tokens."""
    return _deps().jwks


def _claims() -> dict[str, Any]:
    request.caller()
    runtime = request.runtime()
    return claims_of(flask.request.headers.get("Authorization"), keys=runtime.keys, now=runtime.clock())


def _client_certificate() -> x509.Certificate:
    return reading.read_certificate(
        _deps().parser, client_certificate.parse(flask.request.headers.get(client_certificate.HEADER))
    )


def _with_certificate(action: str, handle: Callable[[Tx, x509.Certificate], T]) -> T:
    """Handle a request that the client certificate authenticates."""
    der = client_certificate.parse(flask.request.headers.get(client_certificate.HEADER))
    with _audit_refusal(action, hashlib.sha256(der).hexdigest()):
        certificate = reading.read_certificate(_deps().parser, der)
        with request.transaction() as tx:
            return handle(tx, certificate)


@contextmanager
def _audit_refusal(action: str, certificate_sha256: str) -> Iterator[None]:
    """Audit a refused sign-in in a separate transaction, because the request's own is rolled back."""
    try:
        yield
    except _AUDITED as refused:
        with request.transaction() as tx:
            handlers.record_refusal(tx, refused.reason, certificate_sha256, action)
        raise


def _going_back(redirect_uri: str, **parameters: str | None) -> flask.Response:
    response = flask.redirect(authorising.going_back(redirect_uri, **parameters), HTTPStatus.SEE_OTHER)
    response.headers["Referrer-Policy"] = "no-referrer"
    return flask.make_response(response)


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

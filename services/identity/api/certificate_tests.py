"""Certificate tests: the findings about an e-Cert, presented to the connection or by a signature, without a sign-in."""

import flask
from cryptography import x509

from services.identity import challenging, examining, reading
from services.identity.api.blueprint import at_sign_in_host, blp, deps
from services.identity.api.redirects import redirect_with_code, redirects_to_portal
from services.identity.authorising import Authorise, RedeemCode
from services.identity.challenging import AnswerChallenge
from services.identity.examining import Report
from services.identity.refusals import (
    CertificateRefused,
    ChallengeRefused,
    CodeRefused,
    RedirectRefused,
    SignatureRefused,
)
from services.identity.schemas import AUTHORISE_PARAMETERS, ChallengeAnswerSchema, CodeSchema, ReportSchema
from shared.validation.parsing_pool import TooCostly
from shared.web import client_certificate, request
from shared.web.openapi import for_everyone, refuses


@blp.get("/certificate-tests")
@at_sign_in_host
@refuses(RedirectRefused)
@blp.doc(parameters=AUTHORISE_PARAMETERS[:-1])
@redirects_to_portal
def show_certificate() -> flask.Response:
    """Examine the client certificate of this connection for the portal, without a sign-in."""

    def show(command: Authorise) -> str:
        certificate = _client_certificate()
        with request.transaction() as tx:
            return examining.show(tx, command, certificate)

    return redirect_with_code(show)


@blp.post("/certificate-test-results")
@for_everyone
@refuses(CodeRefused, CertificateRefused, TooCostly)
@blp.arguments(CodeSchema)
@blp.response(200, ReportSchema)
def show_report(command: RedeemCode) -> Report:
    """Exchange a code for the findings about the presented certificate."""
    with request.transaction() as tx:
        shown = examining.take_shown(tx, command)
    if isinstance(shown, CodeRefused):
        raise shown
    certificate = reading.read_certificate(deps().parser, shown)
    with request.transaction() as tx:
        return examining.examine(tx, certificate, trust=deps().trust)


@blp.post("/challenge-tests")
@for_everyone
@refuses(ChallengeRefused, SignatureRefused, CertificateRefused, TooCostly)
@blp.arguments(ChallengeAnswerSchema)
@blp.response(200, ReportSchema)
def show_signer(command: AnswerChallenge) -> Report:
    """Return the findings about the e-Cert that signed a challenge, and use up the challenge; without a sign-in."""
    certificate = challenging.verify(request.transaction, command, deps().parser)
    with request.transaction() as tx:
        challenging.take(tx, command)
        return examining.examine(tx, certificate, trust=deps().trust)


def _client_certificate() -> x509.Certificate:
    return reading.read_certificate(
        deps().parser, client_certificate.parse(flask.request.headers.get(client_certificate.HEADER))
    )

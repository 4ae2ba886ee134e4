"""Blueprint of identity's HTTP API, with the dependencies of its views and the decorators that document them."""

from dataclasses import dataclass
from typing import Any, Final

from services.identity.certificates import Trust
from services.identity.refusals import CertificateRefused, NotEnrolled, OrganisationMismatch
from shared.pki.crls import RevocationUnknown
from shared.security.tokens import KeySet, SigningKey
from shared.validation.parsing_pool import Parser, TooCostly
from shared.web import request
from shared.web.openapi import SIGN_IN_HOST, Blueprint, by_client_certificate, refuses

# Refusals of a certificate; those of sign-ins are audited.
CERTIFICATE_REFUSALS: Final = (CertificateRefused, RevocationUnknown, NotEnrolled, OrganisationMismatch, TooCostly)

blp = Blueprint("identity", __name__, description="Authorised Representatives, their sign-ins and signatures")
at_sign_in_host = by_client_certificate(SIGN_IN_HOST)
judges_certificate = refuses(*CERTIFICATE_REFUSALS)


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


def deps() -> Deps:
    """Return the dependencies, as main.py built them."""
    return request.deps(Deps)

"""Blueprint of issuance's HTTP API, with the dependencies of its views."""

from dataclasses import dataclass
from datetime import timedelta

from services.issuance.ca.authority import IssuingCA
from services.issuance.domain_evidence import DomainRules
from services.issuance.key_policy import KeyPolicy
from services.issuance.pin_orders import PINLimits
from services.issuance.pins.pins import PINVerifier
from services.issuance.publication import Publication
from shared.validation.parsing_pool import Parser
from shared.web.openapi import Blueprint

blp = Blueprint("issuance", __name__, description="Domains, orders, CSRs, certificates and the CRL")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """Dependencies built by main.py. The web process has no CA key."""

    ca: IssuingCA
    pin_verifier: PINVerifier
    pin_limits: PINLimits
    key_policy: KeyPolicy
    parser: Parser
    publication: Publication
    domain_rules: DomainRules
    # Longest time from the sign-in with the e-Cert to a revocation.
    sign_in_max_age: timedelta

"""HTTP API of identity: sign-ins and checkout authorisations, certificate tests, attestations, sessions.

Each module below adds its views to the one blueprint.
"""

from services.identity.api import attestations, certificate_tests, session, sign_in
from services.identity.api.blueprint import Deps, blp
from services.identity.problems import PROBLEMS  # every API module exports its table of problems

__all__ = ["PROBLEMS", "Deps", "attestations", "blp", "certificate_tests", "session", "sign_in"]

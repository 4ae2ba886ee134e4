"""HTTP API of issuance: domains, orders, CSRs, certificates; in public the CRL and CA certificates.

Each module below adds its views to the one blueprint.
"""

from services.issuance.api import domains, orders, publication, renewal_info, repository
from services.issuance.api.blueprint import Deps, blp
from services.issuance.problems import PROBLEMS  # every API module exports its table of problems

__all__ = ["PROBLEMS", "Deps", "blp", "domains", "orders", "publication", "renewal_info", "repository"]

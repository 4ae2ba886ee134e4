"""Databases and roles: one database for each service and the desk, its roles, and the package that owns it."""

from pathlib import Path
from typing import Final

# The desk's database is created like a service's.
DESK: Final = "desk"
SERVICES: Final = ("identity", "application", "payment", "mailing", "issuance", DESK)
# The print process and the feed's process have roles with fewer rights than their services.
EXTRA_ROLES: Final = {"mailing": ("mailing_print",), "issuance": ("issuance_feed",)}
ROLES: Final = tuple(
    role for service in SERVICES for role in (f"{service}_migrate", service, *EXTRA_ROLES.get(service, ()))
)


def package(service: str) -> str:
    """Return the Python package of a service or the desk."""
    return "backoffice.desk" if service == DESK else f"services.{service}"


def migrations_folder(root: Path, service: str) -> Path:
    """Return the folder of a database's migrations in a checkout."""
    return root.joinpath(*package(service).split("."), "migrations")

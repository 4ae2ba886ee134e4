"""Vendors of the tokens that hold "Mutual Recognition" e-Certs, with their software."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class TokenVendor:
    """A vendor of tokens."""

    name: str
    url: str


TOKEN_VENDORS: Final = (
    TokenVendor(
        "SafeNet (Thales)", "https://cpl.thalesgroup.com/access-management/authenticators/pki-usb-authentication"
    ),
    TokenVendor("FEITIAN", "https://www.ftsafe.com/Products/PKI"),
)

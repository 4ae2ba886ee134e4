"""Who makes the tokens that hold "Mutual Recognition" e-Certs, and where their software is."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class TokenVendor:
    """One vendor."""

    name: str
    url: str


TOKEN_VENDORS: Final = (
    TokenVendor(
        "SafeNet (Thales)", "https://cpl.thalesgroup.com/access-management/authenticators/pki-usb-authentication"
    ),
    TokenVendor("FEITIAN", "https://www.ftsafe.com/Products/PKI"),
)

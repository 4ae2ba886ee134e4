"""Reading certificates that strangers made."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

# What cryptography raises for contents it cannot read, at load or when first touched.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)

"""Translatable texts of the portal, collected from its sources: what the other languages' catalogs must contain."""

import json
from pathlib import Path
from typing import Final

from shared import i18n

_HERE: Final = Path(__file__).parent
# Texts that the API returns in English and pages translate; the signed document is shown as it was signed.
DECLARATIONS: Final = (
    "The information in this application is correct and complete.",
    "I am the Authorised Representative of the subscriber and apply on its behalf.",
    "The subscriber accepts the Subscriber Agreement and the Certification Practice Statement.",
    "The subscriber agrees to the publication of the certificates in the repository.",
    "The subscriber knows that the content of a certificate cannot be changed after it has been issued.",
)


def texts() -> set[str]:
    """Return all texts, in English."""
    return i18n.texts(_HERE, templates="templates/**.html") | set(DECLARATIONS)


if __name__ == "__main__":
    print(json.dumps(sorted(texts()), indent=0, ensure_ascii=False))

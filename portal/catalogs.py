"""Every text of the portal as its sources say it: what the catalogs of the other languages must hold."""

import json
from pathlib import Path
from typing import Final

from shared import i18n

_HERE: Final = Path(__file__).parent
# Texts that the API gives in English and the pages translate: the signed document stays as it was signed.
DECLARATIONS: Final = (
    "The information in this application is correct and complete.",
    "I am the Authorised Representative of the subscriber and apply on its behalf.",
    "The subscriber accepts the Subscriber Agreement and the Certification Practice Statement.",
    "The subscriber agrees to the publication of the certificates in the repository.",
    "The subscriber knows that the content of a certificate cannot be changed after it has been issued.",
)


def texts() -> set[str]:
    """Every text, in English."""
    return i18n.texts(_HERE, templates="templates/**.html") | set(DECLARATIONS)


if __name__ == "__main__":
    print(json.dumps(sorted(texts()), indent=0, ensure_ascii=False))

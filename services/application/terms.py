"""Terms to which an AR agrees by signing: published once, never changed, served as the bytes that were hashed.

Each version is one canonical JSON document (RFC 8785) with the text in every language and the ruling language, so the
digest in the signed application covers all texts.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import rfc8785

from services.application.refusals import TermsNotFound
from shared.vocabulary import Language

_FOLDER: Final = Path(__file__).parent / "published_terms"
# Version for new drafts. Older versions stay, since somebody signed them.
CURRENT: Final = "2026-11-25"
RULING: Final = Language.ENGLISH


@dataclass(frozen=True)
class Terms:
    """A version of the terms: the bytes to serve and their SHA-256 in hexadecimal."""

    version: str
    body: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 in the application's document."""
        return hashlib.sha256(self.body).hexdigest()


@cache
def versions() -> frozenset[str]:
    """Return all versions ever published."""
    return frozenset(folder.name for folder in _FOLDER.iterdir() if folder.is_dir())


@cache
def find(version: str = CURRENT) -> Terms:
    """Return the terms of a version. Raises TermsNotFound."""
    if version not in versions():
        raise TermsNotFound("there are no such terms")
    texts = {str(language): (_FOLDER / version / f"{language}.txt").read_text("utf-8") for language in Language}
    body = rfc8785.dumps({"version": version, "ruling_language": str(RULING), "texts": texts})
    return Terms(version=version, body=body)

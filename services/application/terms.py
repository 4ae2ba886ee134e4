"""The terms that an AR agrees to by signing: published once, never changed, served as the bytes that were hashed.

One canonical JSON document (RFC 8785) per version holds the text in every language and says which of them rules,
so the digest in the signed application binds all that anybody could have read.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import rfc8785

from services.application.refusals import TermsNotFound
from shared.events.base import Language

_FOLDER: Final = Path(__file__).parent / "published_terms"
# What a new draft refers to. An older version stays: somebody signed it.
CURRENT: Final = "2026-11-25"
RULING: Final = Language.ENGLISH


@dataclass(frozen=True)
class Terms:
    """One version: the bytes to serve and their SHA-256 in hexadecimal."""

    version: str
    body: bytes

    @property
    def sha256(self) -> str:
        """What the application's document names."""
        return hashlib.sha256(self.body).hexdigest()


@cache
def versions() -> frozenset[str]:
    """Every version there has been."""
    return frozenset(folder.name for folder in _FOLDER.iterdir() if folder.is_dir())


@cache
def find(version: str = CURRENT) -> Terms:
    """The terms of a version. Raises TermsNotFound."""
    if version not in versions():
        raise TermsNotFound("there are no such terms")
    texts = {str(language): (_FOLDER / version / f"{language}.txt").read_text("utf-8") for language in Language}
    body = rfc8785.dumps({"version": version, "ruling_language": str(RULING), "texts": texts})
    return Terms(version=version, body=body)

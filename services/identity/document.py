"""Parts of the signed document that identity reads: renewal, signer and subscriber. Everything else
is application's.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.identity.refusals import DocumentFault, DocumentRefused
from shared.vocabulary import RenewalId
from shared.web.auth import Caller

PURPOSES: Final = frozenset({"hk.ecert.renewal-application.v1", "hk.ecert.reissue-application.v1"})
MAX_BYTES: Final = 131_072
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, kw_only=True)
class SignedDocument:
    """The parts that bind a signature to one renewal of one caller, and the names in the document."""

    renewal_id: RenewalId
    nonce: str
    subscriber_name: str
    ar_name: str


def read(document: bytes, *, renewal_id: RenewalId, caller: Caller) -> SignedDocument:
    """Parse the document. Raises DocumentRefused unless it is an application for the caller's own renewal."""
    content = _parse(document)
    if content.get("purpose") not in PURPOSES:
        raise DocumentRefused(DocumentFault.PURPOSE)
    if _text(content, "renewal_id") != str(renewal_id):
        raise DocumentRefused(DocumentFault.OTHER_RENEWAL)
    if _text(content, "subscriber", "id") != caller.subscriber_id:
        raise DocumentRefused(DocumentFault.OTHER_SUBSCRIBER)
    if _text(content, "authorised_representative", "id") != caller.ar_id:
        raise DocumentRefused(DocumentFault.OTHER_REPRESENTATIVE)
    nonce = _text(content, "nonce")
    if not _NONCE.fullmatch(nonce):
        raise DocumentRefused(DocumentFault.NONCE)
    return SignedDocument(
        renewal_id=renewal_id,
        nonce=nonce,
        subscriber_name=_text(content, "subscriber", "name"),
        ar_name=_text(content, "authorised_representative", "name"),
    )


def _parse(document: bytes) -> dict[str, Any]:
    """Parse JSON with one meaning only: UTF-8, no duplicate names, no NaN."""
    if len(document) > MAX_BYTES:
        raise DocumentRefused(DocumentFault.TOO_LARGE)
    try:
        content = json.loads(document.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DocumentRefused(DocumentFault.UNREADABLE) from error
    if not isinstance(content, dict):
        raise DocumentRefused(DocumentFault.UNREADABLE)
    return content


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _text(content: dict[str, Any], *path: str) -> str:
    value: Any = content
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise DocumentRefused(DocumentFault(f"document-without-{path[0].replace('_', '-')}"))
    return value

"""Redaction of held events for operators: enough to decide on them, without secrets, proofs or names."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from shared.events.base import CONFIDENTIAL
from shared.messaging.held_events import HeldEvent

_MAX_LENGTH: Final = 200
_BEGINNING: Final = 120
# Hidden whatever their length: personal data, proofs, sealed PINs.
_HIDDEN: Final = frozenset({"attestation", "document", "payer_name", "receipt", "sealed"})


def headers(held_event: HeldEvent) -> dict[str, str]:
    """Return the record's headers as text."""
    return {name: _text(value or b"")[:_MAX_LENGTH] for name, value in held_event.record.headers}


def type_of(held_event: HeldEvent) -> str | None:
    """Return the event's type as its header names it."""
    given = [value for name, value in held_event.record.headers if name == "ce_type" and value is not None]
    return _text(given[0])[:_MAX_LENGTH] if given else None


def data(held_event: HeldEvent) -> Any:
    """Return the event's data. Data that is not JSON is truncated; unreadable sealed PINs are omitted."""
    value = held_event.record.value
    if value is None:
        return None
    try:
        return _visible(json.loads(value))
    except (ValueError, RecursionError):
        return _summary(value) | ({} if held_event.place.topic in CONFIDENTIAL else _beginning(value))


def _visible(value: Any, name: str = "") -> Any:
    if name in _HIDDEN and not isinstance(value, str | None):
        return _summary(json.dumps(value).encode())
    if isinstance(value, Mapping):
        return {key: _visible(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_visible(inner, name) for inner in value[:_MAX_LENGTH]]
    if isinstance(value, str) and (name in _HIDDEN or len(value) > _MAX_LENGTH):
        return _summary(value.encode("utf-8", "backslashreplace"))
    return value


def _summary(raw: bytes) -> dict[str, object]:
    return {"hidden": f"{len(raw)} bytes", "sha256": hashlib.sha256(raw).hexdigest()}


def _beginning(raw: bytes) -> dict[str, object]:
    return {"begins": _text(raw[:_BEGINNING])}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")

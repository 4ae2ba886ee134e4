"""Ids of effects, derived from what they are about, so that a restored service names an effect as it did before."""

import json
import uuid
from typing import Final

# Never changes: the ids that other services and the payment provider keep were made with it.
_NAMESPACE: Final = uuid.UUID("6f0d8c5e-2b1a-5d0e-9a53-4c7f1e9b8d21")


def effect_id(kind: str, *about: uuid.UUID | str | int | None) -> uuid.UUID:
    """Return the id of an effect (UUIDv5 of its kind and of all that makes it this one and no other)."""
    parts = [kind, *(None if part is None else str(part) for part in about)]
    return uuid.uuid5(_NAMESPACE, json.dumps(parts, separators=(",", ":")))

"""Ids of effects, derived from their subject: a restored service gives an effect the same id as before."""

import json
import uuid
from typing import Final

# Never change this: other services and the payment provider store ids that were made with it.
_NAMESPACE: Final = uuid.UUID("6f0d8c5e-2b1a-5d0e-9a53-4c7f1e9b8d21")


def effect_id(kind: str, *about: uuid.UUID | str | int | None) -> uuid.UUID:
    """Return the id of an effect: UUIDv5 of its kind and of everything that identifies it."""
    parts = [kind, *(None if part is None else str(part) for part in about)]
    return uuid.uuid5(_NAMESPACE, json.dumps(parts, separators=(",", ":")))

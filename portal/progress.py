"""Progress of a renewal: whether a step is running right now, what certificates wait for, and each PIN Envelope."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# States that other services end within seconds.
_MOVING: Final = ("closing-checkout", "withholding", "expiring")
_BEING_ISSUED: Final = ("csr-received", "issuing")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A PIN Envelope: when and under which number it was posted, if it was."""

    server_name: str
    posted_at: str | None = None
    number: str | None = None


def running(renewal: Mapping[str, Any], orders: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a step that ends in seconds is running. Steps that take days do not reload the page."""
    if renewal["state"] in _MOVING:
        return True
    if renewal["state"] != "awaiting-csrs":
        return False
    opened = {order["item_id"]: order for order in orders}
    return any(_item_is_running(item, opened.get(item["id"])) for item in renewal["items"])


def _item_is_running(item: Mapping[str, Any], order: Mapping[str, Any] | None) -> bool:
    if order is None:
        return bool(item["state"] in ("pending", "ordered"))
    if order["obstacles"]:
        return False
    return order["state"] in _BEING_ISSUED or any(pin["state"] == "planned" for pin in order["pins"])


def obstacles(renewal: Mapping[str, Any], orders: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return what stands between each received CSR and its certificate, by the item's id.

    An order's own obstacles are the latest; the renewal has those of items whose orders are not shown.
    """
    found = {item["id"]: item.get("obstacles") for item in renewal["items"] if item["state"] in _BEING_ISSUED}
    found |= {order["item_id"]: order["obstacles"] if order["state"] in _BEING_ISSUED else None for order in orders}
    return {item_id: each for item_id, each in found.items() if each}


def envelopes(renewal: Mapping[str, Any]) -> dict[str, list[Envelope]]:
    """Return each item's PIN Envelopes, by the item's id: each server name's last posting, unless replaced since."""
    found = {
        item["id"]: {name: Envelope(server_name=name) for name in item["server_names"]} for item in renewal["items"]
    }
    for entry in renewal["timeline"]:
        name = entry.get("server_name")
        if name not in found.get(entry["item_id"], {}):
            continue
        if entry["event"] == "pin-reissued":
            found[entry["item_id"]][name] = Envelope(server_name=name)
        elif entry["event"] == "pin-envelope-posted":
            found[entry["item_id"]][name] = Envelope(
                server_name=name, posted_at=entry["time"], number=entry["registered_number"]
            )
    return {item_id: list(by_name.values()) for item_id, by_name in found.items()}


def returned(renewal: Mapping[str, Any]) -> set[str]:
    """Return the items with a PIN Envelope that was returned, and no new one since."""
    back: set[str] = set()
    for entry in renewal["timeline"]:
        if entry["event"] == "pin-envelope-returned":
            back.add(entry["item_id"])
        elif entry["event"] in ("pin-envelope-posted", "pin-reissued"):
            back.discard(entry["item_id"])
    return back

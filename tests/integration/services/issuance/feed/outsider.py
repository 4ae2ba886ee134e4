"""State of an outside reader of the feed, written by the guide in docs/events alone: nothing of ours is imported."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_CERTIFICATE = "hk.ecert.issuance.certificate-"


@dataclass(frozen=True)
class Received:
    """An event as it came, by whichever way."""

    attributes: Mapping[str, str]
    data: bytes

    @property
    def position(self) -> int:
        return int(self.attributes["position"])


@dataclass
class Ledger:
    """The certificates, and everything about the feed that was not as it should be."""

    is_good: Callable[[Received], bool]
    certificates: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: dict[int, str] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    repeats: int = 0
    forged: list[int] = field(default_factory=list)
    out_of_sequence: list[int] = field(default_factory=list)

    def take(self, event: Received) -> None:
        """Book one event: once, and only if its signature holds."""
        name, position = event.attributes["id"], event.position
        if self.seen.get(position) == name:
            self.repeats += 1
            return
        if not self.is_good(event):
            self.forged.append(position)
            return
        self.seen[position] = name
        subject, sequence = event.attributes["subject"], int(event.attributes["sequence"])
        if sequence != self.sequences.get(subject, 0) + 1:
            self.out_of_sequence.append(position)
        self.sequences[subject] = sequence
        self._book(event)

    def _book(self, event: Received) -> None:
        kind, data = event.attributes["type"], json.loads(event.data)
        if not kind.startswith(_CERTIFICATE):
            return
        # What became of a certificate is kept though its issuance is missing.
        known = self.certificates.setdefault(data["serial"], {"sha256": "missing"})
        match kind.removeprefix(_CERTIFICATE):
            case "issued.v1":
                known |= {"sha256": data["certificate_sha256"], "state": "issued"}
            case "accepted.v1":
                known["state"] = "accepted"
            case "revoked.v1":
                known["state"] = f"revoked: {data['reason']}"

    @property
    def gaps(self) -> list[int]:
        """Positions below the last one that did not come as they should."""
        return [position for position in range(1, max(self.seen, default=0)) if position not in self.seen]

"""One renewal that went well, as six extracts and three records say it, for tests to change."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from backoffice.reconciliation.comparing import Files, Report, compare
from backoffice.reconciliation.loading import write_records
from backoffice.reconciliation.main import SERVICES
from deploy.kafka.topics import ACCESS
from shared.security.signed_extract import Source, write_signed
from shared.security.tokens import KeySet, SigningKey, thumbprint

NOW = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
LONG_AGO = (NOW - timedelta(days=1)).isoformat()
RENEWAL = "11111111-1111-4111-8111-111111111111"
ITEM = "22222222-2222-4222-8222-222222222222"
SERIAL = "01ab"
EVENTS = (
    ("identity", "signature-verified"),
    ("application", "renewal-submitted"),
    ("payment", "payment-captured"),
    ("application", "csr-requested"),
    ("issuance", "order-opened"),
    ("issuance", "certificate-issued"),
    ("application", "renewal-completed"),
)

Row = dict[str, Any]


@cache
def key_of(service: str) -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key=key, kid=thumbprint(key.public_key()))


@dataclass
class World:
    """Every record, by who says it: `rows["payment"]["refund"]`, `rows["topics"]["record"]`."""

    folder: Path
    rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    earlier: dict[str, list[Row]] = field(default_factory=dict)
    taken_at: dict[str, datetime] = field(default_factory=dict)

    def one(self, said_by: str, record: str, **having: object) -> Row:
        """Return the one record that has these fields."""
        found = [each for each in self.rows[said_by][record] if having.items() <= each.items()]
        assert len(found) == 1, (said_by, record, having, found)
        return found[0]

    def drop(self, said_by: str, record: str, **having: object) -> None:
        self.rows[said_by][record].remove(self.one(said_by, record, **having))

    def add(self, said_by: str, record: str, **fields: object) -> None:
        self.rows[said_by].setdefault(record, []).append(fields)

    def extract(self, service: str) -> Path:
        """Write one service's extract."""
        return self._write(service, self.rows[service], self.folder / f"{service}.jsonl")

    def files(self) -> Files:
        """Write every file of the comparison."""
        made = {}
        for said_by, record in (("topics", "record"), ("provider", "effect"), ("mail", "delivery")):
            made[said_by] = self.folder / f"{said_by}.jsonl"
            write_records(made[said_by], record, self.rows[said_by][record], now=NOW)
        earlier = [
            self._write(service, {"seal": seals}, self.folder / f"earlier-{service}.jsonl")
            for service, seals in self.earlier.items()
        ]
        return Files(extracts=[self.extract(service) for service in SERVICES], keys=keys(), earlier=earlier, **made)

    def compare(self, grace: timedelta = timedelta(0)) -> Report:
        return compare(self.files(), services=SERVICES, now=NOW, grace=grace)

    def _write(self, service: str, records: dict[str, list[Row]], path: Path) -> Path:
        reads = ACCESS[service].reads
        source = Source(service=service, reads=[each.value for each in reads], tables=(), key=key_of(service))
        with path.open("w", encoding="utf-8") as file:
            lines = ({"record": name, **row} for name, rows in records.items() for row in rows)
            write_signed(lines, source, file.write, now=self.taken_at.get(service, NOW))
        return path


def keys() -> dict[str, KeySet]:
    return {service: KeySet.parse({"keys": [key_of(service).jwk()]}) for service in SERVICES}


def good(folder: Path) -> World:
    """Return everything agrees."""
    world = World(folder=folder)
    world.rows = deepcopy(_own())
    for service in SERVICES:
        events = [each for each in _events() if each["topic"] == f"{service}.events"]
        world.rows.setdefault(service, {})["event"] = [{**each, "sent": True} for each in events]
        world.rows[service]["counter"] = [
            {"topic": f"{service}.events", "key": RENEWAL, "sequence": len(events)} for _ in events[:1]
        ]
        world.rows[service]["inbox"] = list(_inbox(service))
        world.rows[service]["seal"] = [{"id": 1, "head": f"{service} 1"}, {"id": 2, "head": f"{service} 2"}]
        world.earlier[service] = [{"id": 1, "head": f"{service} 1"}]
    world.rows["topics"] = {"record": list(_events())}
    return world


def _events() -> Iterator[Row]:
    counted: dict[str, int] = {}
    for number, (service, name) in enumerate(EVENTS):
        counted[service] = counted.get(service, 0) + 1
        yield {
            "id": f"00000000-0000-4000-8000-{number:012}",
            "topic": f"{service}.events",
            "key": RENEWAL,
            "sequence": counted[service],
            "type": f"hk.ecert.{service}.{name}.v1",
            "time": LONG_AGO,
            "data_sha256": f"{number:064}",
        }


def _inbox(service: str) -> Iterator[Row]:
    last = {each["topic"]: each for each in _events()}
    for topic in ACCESS[service].reads:
        if (event := last.get(topic.value)) is not None:
            yield {
                "topic": topic.value,
                "key": RENEWAL,
                "sequence": event["sequence"],
                "event_id": event["id"],
                "held": None,
            }


def _own() -> dict[str, dict[str, list[Row]]]:
    proofs = {"document_sha256": "d", "attestation_sha256": "a"}
    renewal = {"id": RENEWAL, "state": "completed", "amount_minor": 5000, "captured_minor": 5000, **proofs}
    times = {"submitted_at": LONG_AGO, "ended_at": LONG_AGO}
    payment = {"id": "p", "renewal_id": RENEWAL, "state": "captured", "amount_minor": 5000, "document_sha256": "d"}
    of_item = {"renewal_id": RENEWAL, "item_id": ITEM}
    mail = {"message_id": "<m@ecert>", "renewal_id": RENEWAL, "template": "csr-request", "state": "sent"}
    letter = {"id": "e", **of_item, "state": "posted", "received_at": LONG_AGO, "printed_at": LONG_AGO}
    return {
        "identity": {"evidence": [{"id": "v", "renewal_id": RENEWAL, **proofs, "verified_at": LONG_AGO}]},
        "application": {
            "renewal": [{**renewal, "receipt_sha256": "r", **times}],
            "item": [
                {
                    "id": ITEM,
                    "renewal_id": RENEWAL,
                    "state": "issued",
                    "serial": SERIAL,
                    "amount_minor": 5000,
                    "obstacles_sha256": "none",
                },
            ],
            "refund": [],
        },
        "payment": {
            "payment": [{**payment, "captured_at": LONG_AGO, "receipt_sha256": "r"}],
            "checkout": [{"id": "c", "payment_id": "p"}],
            "refund": [],
            "booking": [_booking("b1", None, 5000)],
        },
        "mailing": {
            "mail": [{**mail, "queued_at": LONG_AGO, "settled_at": LONG_AGO}],
            "envelope": [{**letter, "posted_on": "2026-11-29"}],
        },
        "issuance": {
            "gate": [{"renewal_id": RENEWAL, "withheld_at": None}],
            "renewal": [{"id": RENEWAL, **proofs, "receipt_sha256": "r"}],
            "order": [{"id": ITEM, "renewal_id": RENEWAL, "state": "issued", "obstacles_sha256": "none"}],
            "pin": [{"id": "e", **of_item, "state": "spent", "planned_at": LONG_AGO}],
            "certificate": [{"serial": SERIAL, **of_item, "issued_at": LONG_AGO, "revoked_at": None}],
        },
        "provider": {"effect": [{"kind": "capture", "reference": "c", "amount_minor": 5000}]},
        "mail": {"delivery": [{"message_id": "<m@ecert>"}]},
    }


def _booking(booking: str, refund: str | None, amount: int) -> Row:
    return {
        "id": booking,
        "payment_id": "p",
        "refund_id": refund,
        "amount_minor": amount,
        "booked_at": LONG_AGO,
    }


def refund_made(world: World, refund: str, *, item: str | None = ITEM, amount: int = 1000) -> None:
    """Add a refund to the records of all four services."""
    due = {"id": refund, "renewal_id": RENEWAL, "item_id": item, "amount_minor": amount, "refunded_at": LONG_AGO}
    world.add("application", "refund", **due, due_at=LONG_AGO)
    world.add("payment", "refund", **due, payment_id="p", state="refunded", created_at=LONG_AGO, asked_as=None)
    world.add("payment", "booking", **_booking(f"b-{refund}", refund, amount))
    world.add("provider", "effect", kind="refund", reference=refund, amount_minor=amount)


def rewrite(path: Path, line: int, **changed: object) -> None:
    """Change one line of a file behind its signature's back."""
    lines = path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changed}, sort_keys=True, separators=(",", ":"))
    path.write_text("\n".join(lines) + "\n")

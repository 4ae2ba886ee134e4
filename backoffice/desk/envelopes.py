"""SQL of PIN Envelopes, for pages."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from psycopg.rows import class_row

from shared.db import Conn
from shared.operators.pagination import Keyset, cut

PAGE: Final = 25


class Place(StrEnum):
    """The three lists of PIN Envelopes."""

    DESPATCHED = "despatched"
    RETURNED = "returned"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A PIN Envelope, known since it was posted, voided, or announced as a replacement."""

    envelope_id: uuid.UUID
    renewal_id: uuid.UUID
    item_id: uuid.UUID
    server_name: str
    item_reference: str | None
    subscriber: str | None
    registered_number: str | None
    posted_on: date | None
    returned_on: date | None
    reason: str | None
    voided_at: datetime | None
    void_reason: str | None
    announced_at: datetime | None
    replaces: uuid.UUID | None
    replaced_by: uuid.UUID | None
    awaits_csr: bool

    @property
    def state(self) -> str:
        """The envelope's place, and whether its PIN is still usable."""
        if self.void_reason == "lost":
            return "lost"
        if self.returned_on is not None:
            return "returned"
        if self.voided_at is not None:
            return "voided"
        return "despatched" if self.posted_on is not None else "announced"

    @property
    def may_come_back(self) -> bool:
        """Whether the envelope is in the post."""
        return self.posted_on is not None and self.returned_on is None

    @property
    def may_be_replaced(self) -> bool:
        """Whether the envelope's PIN is still usable and its item still waits for a CSR."""
        return self.voided_at is None and self.awaits_csr


_ENVELOPES: Final = """SELECT e.envelope_id, e.renewal_id, e.item_id, e.server_name, i.reference AS item_reference,
    r.subscriber, e.registered_number, e.posted_on, e.returned_on, e.reason, e.voided_at, e.void_reason, e.announced_at,
    e.replaces, (SELECT n.envelope_id FROM envelopes AS n WHERE n.replaces = e.envelope_id LIMIT 1) AS replaced_by,
    COALESCE(i.opened_at IS NOT NULL AND i.csr_received_at IS NULL AND i.refused_at IS NULL AND i.withdrawn_at IS NULL,
             FALSE) AS awaits_csr
    FROM envelopes AS e LEFT JOIN items AS i USING (item_id) LEFT JOIN renewals AS r ON r.renewal_id = e.renewal_id"""
# In the post: longest first. Returned or lost: newest first.
_LISTS: Final[Mapping[Place, tuple[str, Keyset]]] = {
    Place.DESPATCHED: (
        "e.posted_on IS NOT NULL AND e.returned_on IS NULL AND e.voided_at IS NULL",
        Keyset(columns=("e.posted_on", "e.envelope_id")),
    ),
    Place.RETURNED: (
        "e.returned_on IS NOT NULL",
        Keyset(columns=("e.returned_on", "e.envelope_id"), descending=True),
    ),
    Place.LOST: ("e.void_reason = 'lost'", Keyset(columns=("e.voided_at", "e.envelope_id"), descending=True)),
}
_AFTER: Final = "envelopes AS e WHERE e.envelope_id = %(after)s"


def list_envelopes(conn: Conn, place: Place, after: uuid.UUID | None) -> tuple[list[Envelope], uuid.UUID | None]:
    """Return a page of a list, and the envelope after which the next page begins."""
    condition, keyset = _LISTS[place]
    follows = f"AND {keyset.follows(_AFTER)}" if after else ""
    found = _find(conn, f"WHERE {condition} {follows} {keyset.order} LIMIT {PAGE + 1}", {"after": after})
    shown, last = cut(found, PAGE)
    return shown, None if last is None else last.envelope_id


def find(conn: Conn, envelope_id: uuid.UUID) -> Envelope | None:
    """Return one envelope."""
    found = _find(conn, "WHERE e.envelope_id = %(id)s", {"id": envelope_id})
    return found[0] if found else None


def of_renewal(conn: Conn, renewal_id: uuid.UUID) -> list[Envelope]:
    """Return a renewal's envelopes."""
    order = "ORDER BY e.server_name, COALESCE(e.announced_at, '-infinity'), e.envelope_id"
    return _find(conn, f"WHERE e.renewal_id = %(id)s {order}", {"id": renewal_id})


def _find(conn: Conn, rest: str, parameters: dict[str, Any]) -> list[Envelope]:
    with conn.cursor(row_factory=class_row(Envelope)) as cursor:
        return cursor.execute(f"{_ENVELOPES} {rest}", parameters).fetchall()


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """The recipient of a renewal's letters: personal data, for staff who handle letters only."""

    name: str
    address: list[str]


def find_recipient(conn: Conn, renewal_id: uuid.UUID) -> Recipient | None:
    """Return the recipient as identity attested it, if the renewal is known."""
    with conn.cursor(row_factory=class_row(Recipient)) as cursor:
        return cursor.execute("SELECT name, address FROM recipients WHERE renewal_id = %s", (renewal_id,)).fetchone()

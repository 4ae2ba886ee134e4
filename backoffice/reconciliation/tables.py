"""Tables for the loaded records, one for each kind, in a SQLite file that is deleted after the comparison."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

# Tables that every service fills have the service's name in their first column; other tables have it in their name.
OF_EVERY_SERVICE: Final = {
    "event": ("id", "topic", "key", "sequence", "type", "time", "sent", "data_sha256"),
    "counter": ("topic", "key", "sequence"),
    "inbox": ("topic", "key", "sequence", "event_id", "held"),
    "held": ("topic", "key", "sequence", "reason", "since"),
    "seal": ("id", "head"),
    "unsealed": ("id", "time"),
    "finding": ("seal_id", "what"),
}
OF_ONE_SERVICE: Final = {
    ("identity", "evidence"): ("id", "renewal_id", "document_sha256", "attestation_sha256", "verified_at"),
    ("application", "renewal"): (
        *("id", "state", "amount_minor", "captured_minor", "document_sha256", "attestation_sha256", "receipt_sha256"),
        *("submitted_at", "ended_at"),
    ),
    ("application", "item"): ("id", "renewal_id", "state", "serial", "amount_minor", "obstacles_sha256"),
    ("application", "refund"): ("id", "renewal_id", "item_id", "amount_minor", "due_at", "refunded_at"),
    ("payment", "payment"): (
        *("id", "renewal_id", "state", "amount_minor", "document_sha256", "captured_at", "receipt_sha256"),
    ),
    ("payment", "checkout"): ("id", "payment_id"),
    ("payment", "refund"): (
        *("id", "asked_as", "payment_id", "renewal_id", "item_id", "amount_minor", "state", "created_at"),
        "refunded_at",
    ),
    ("payment", "booking"): ("id", "payment_id", "refund_id", "amount_minor", "booked_at"),
    ("mailing", "mail"): ("message_id", "renewal_id", "template", "state", "queued_at", "settled_at"),
    ("mailing", "envelope"): ("id", "renewal_id", "item_id", "state", "received_at", "printed_at", "posted_on"),
    ("issuance", "gate"): ("renewal_id", "withheld_at"),
    ("issuance", "renewal"): ("id", "document_sha256", "attestation_sha256", "receipt_sha256"),
    ("issuance", "order"): ("id", "renewal_id", "state", "obstacles_sha256"),
    ("issuance", "pin"): ("id", "renewal_id", "item_id", "state", "planned_at"),
    ("issuance", "certificate"): ("serial", "item_id", "renewal_id", "issued_at", "revoked_at"),
}
# Records of other parties: the topics' events, the provider's effects, the mail server's deliveries.
OF_OTHERS: Final = {
    "record": ("id", "topic", "key", "sequence", "type", "time", "data_sha256"),
    "effect": ("kind", "reference", "amount_minor"),
    "delivery": ("message_id",),
}
_INDEXES: Final = (
    "event (topic, key, sequence)",
    "event (id)",
    "inbox (topic, key)",
    "counter (topic, key)",
    "record (topic, key, sequence)",
    "record (id)",
    "seal (service, head)",
    "effect (reference)",
    "delivery (message_id)",
    "application_item (renewal_id)",
    "application_refund (renewal_id)",
    "payment_payment (renewal_id)",
    "payment_checkout (payment_id)",
    "payment_refund (payment_id)",
    "payment_refund (asked_as)",
    "payment_booking (payment_id)",
    "issuance_certificate (item_id)",
    "identity_evidence (renewal_id)",
    "mailing_mail (message_id)",
)


class BadRecord(ValueError):
    """The line is not a record that is documented for this kind of file."""


def create(conn: sqlite3.Connection) -> None:
    """Create every table."""
    conn.execute("CREATE TABLE extract (service PRIMARY KEY, taken_at, state, stale)")
    conn.execute("CREATE TABLE reads (service, topic)")
    conn.execute("CREATE TABLE earlier_seal (service, head)")
    for name, columns in OF_EVERY_SERVICE.items():
        conn.execute(f"CREATE TABLE {name} (service, {', '.join(columns)})")
    for (service, name), columns in OF_ONE_SERVICE.items():
        conn.execute(f"CREATE TABLE {service}_{name} ({', '.join([*columns, *_key(columns)])})")
    for name, columns in OF_OTHERS.items():
        conn.execute(f"CREATE TABLE {name} ({', '.join(columns)})")


def _key(columns: tuple[str, ...]) -> list[str]:
    return [f"PRIMARY KEY ({columns[0]})"]


def index(conn: sqlite3.Connection) -> None:
    """Create the indexes, once everything is loaded."""
    for number, each in enumerate(_INDEXES):
        conn.execute(f"CREATE INDEX i{number} ON {each}")
    conn.execute("ANALYZE")


def add(conn: sqlite3.Connection, service: str, fields: Mapping[str, Any]) -> None:
    """Store one record of a service's extract; unknown fields are ignored. Raises BadRecord."""
    name = fields["record"]
    if (columns := OF_EVERY_SERVICE.get(name)) is not None:
        _insert(conn, name, ("service", *columns), {**fields, "service": service})
    elif (columns := OF_ONE_SERVICE.get((service, name))) is not None:
        _insert(conn, f"{service}_{name}", columns, fields)
    else:
        raise BadRecord(f"{service} has no records called {name!r}")


def add_other(conn: sqlite3.Connection, name: str, fields: Mapping[str, Any]) -> None:
    """Store one record of another party. Raises BadRecord."""
    if fields["record"] != name:
        raise BadRecord(f"a record called {fields['record']!r}, not {name!r}")
    _insert(conn, name, OF_OTHERS[name], fields)


def _insert(conn: sqlite3.Connection, table: str, columns: tuple[str, ...], fields: Mapping[str, Any]) -> None:
    try:
        values = [fields[column] for column in columns]
        conn.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
    except (KeyError, sqlite3.Error) as error:
        raise BadRecord(f"{table}: {type(error).__name__} {error}") from error

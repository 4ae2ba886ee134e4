"""Import of subscriptions from the CA's register, as JSON or CSV: all of a file or nothing."""

import argparse
import csv
import io
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from marshmallow import Schema, ValidationError, fields, validate, validates, validates_schema

from services.application import store
from services.application.domain import Subscription
from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.events.base import Product
from shared.orderable import NotOrderable, check_names
from shared.subscriber_record import RecordRefused, check_name
from shared.tx import transaction


class ImportRefused(Refused):
    """The file was not imported; the message says where it is wrong."""

    reason = "import-refused"


def _storable(text: str) -> None:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValidationError("Control characters are not allowed.")


def _text(longest: int) -> fields.String:
    return fields.String(required=True, validate=[validate.Length(1, longest), _storable])


class _RowSchema(Schema):
    srn = fields.String(required=True, validate=validate.Regexp(r"[0-9]{10}\Z"))
    subscriber_id = _text(64)
    subscriber_name = _text(64)
    ar_id = _text(64)
    ar_name = _text(64)
    product = fields.Enum(Product, by_value=True, required=True)
    server_names = fields.List(fields.String(), required=True)
    additional_servers = fields.Integer(load_default=0, validate=validate.Range(0, 500))
    standing = fields.String(load_default="active", validate=validate.OneOf(["active", "suspended", "revoked"]))
    certificate = fields.String(required=True, validate=validate.Length(1, 20_000))

    @validates("subscriber_name", "ar_name")
    def can_be_named(self, text: str, data_key: str) -> None:
        """Refuse a name that a certificate or a letter would refuse once it is paid for."""
        try:
            check_name(data_key, text)
        except RecordRefused as refused:
            raise ValidationError(f"{refused}") from refused

    @validates_schema
    def can_be_certified(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse server names that issuance would refuse once they are paid for."""
        try:
            check_names(data["product"], data["server_names"])
        except NotOrderable as refused:
            raise ValidationError(f"{refused}", "server_names") from refused


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One file, and who imports it."""
    parser.add_argument("file", type=Path, help='JSON: {"subscriptions": […]}; CSV: server_names divided by spaces')
    parser.add_argument("--actor", default="import", help="who does this, for the audit log")


def import_file(pool: Pool, path: Path, actor: str) -> int:
    """Import a file in one transaction; how many subscriptions. Raises ImportRefused."""
    # In the order in which a submission locks them, so that the two never deadlock.
    subscriptions = sorted(read_file(path), key=lambda subscription: subscription.srn)
    with transaction(pool) as tx:
        for subscription in subscriptions:
            store.save_subscription(tx.conn, subscription)
            audit.record(tx, actor=actor, action="subscription-imported", subject=subscription.srn)
    return len(subscriptions)


def read_file(path: Path) -> list[Subscription]:
    """Read and check a file. Raises ImportRefused."""
    try:
        text = path.read_text("utf-8-sig")
        rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _json_rows(text)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise ImportRefused(f"{path.name}: {error}") from error
    subscriptions: dict[str, Subscription] = {}
    for number, row in enumerate(rows, start=1):
        subscription = _subscription(number, row)
        if subscriptions.setdefault(subscription.srn, subscription) is not subscription:
            raise ImportRefused(f"row {number}: SRN {subscription.srn} is there twice")
    if not subscriptions:
        raise ImportRefused(f"{path.name}: there is no subscription in it")
    return list(subscriptions.values())


def _json_rows(text: str) -> list[Any]:
    content = json.loads(text)
    rows = content.get("subscriptions") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise ValueError('expected {"subscriptions": [...]}')
    return rows


def _csv_rows(text: str) -> list[Mapping[str, Any]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="surplus columns")
    return [_filled(row) | {"server_names": (row.get("server_names") or "").split()} for row in rows]


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """An empty cell says nothing."""
    return {name: value for name, value in row.items() if value not in (None, "")}


def _subscription(number: int, row: Any) -> Subscription:
    try:
        data = _RowSchema().load(row)
    except ValidationError as error:
        raise ImportRefused(f"row {number}: {_summary(error)}") from error
    try:
        certificate = x509.load_pem_x509_certificate(data["certificate"].replace("\\n", "\n").encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        covered = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise ImportRefused(f"row {number}: certificate: not one that can be read, with server names") from error
    if missing := set(data["server_names"]) - covered:
        raise ImportRefused(f"row {number}: certificate: it does not name {', '.join(sorted(missing))}")
    # Written anew: whatever else stood in the field, such as a private key, is not kept.
    return Subscription(
        **data
        | {
            "server_names": tuple(data["server_names"]),
            "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        },
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc,
    )


def _summary(error: ValidationError) -> str:
    messages = error.messages_dict
    return "; ".join(f"{name}: {json.dumps(what, ensure_ascii=False)}" for name, what in sorted(messages.items()))

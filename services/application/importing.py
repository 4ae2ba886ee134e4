"""Import of subscriptions from the CA's register, as JSON or CSV: all of a file or nothing."""

import argparse
import csv
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from marshmallow import Schema, ValidationError, fields, validate

from services.application import store
from services.application.domain import Subscription
from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.events.base import Product
from shared.tx import transaction


class ImportRefused(Refused):
    """The file was not imported; the message says where it is wrong."""

    reason = "import-refused"


class _RowSchema(Schema):
    srn = fields.String(required=True, validate=validate.Regexp(r"[0-9]{10}\Z"))
    subscriber_id = fields.String(required=True, validate=validate.Length(1, 64))
    subscriber_name = fields.String(required=True, validate=validate.Length(1, 64))
    ar_id = fields.String(required=True, validate=validate.Length(1, 64))
    ar_name = fields.String(required=True, validate=validate.Length(1, 128))
    product = fields.Enum(Product, by_value=True, required=True)
    server_names = fields.List(fields.String(validate=validate.Length(1, 253)), required=True)
    additional_servers = fields.Integer(load_default=0, validate=validate.Range(0, 500))
    standing = fields.String(load_default="active", validate=validate.OneOf(["active", "suspended", "revoked"]))
    certificate = fields.String(required=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One file, and who imports it."""
    parser.add_argument("file", type=Path, help='JSON: {"subscriptions": […]}; CSV: server_names divided by spaces')
    parser.add_argument("--actor", default="import", help="who does this, for the audit log")


def import_file(pool: Pool, path: Path, actor: str) -> int:
    """Import a file in one transaction; how many subscriptions. Raises ImportRefused."""
    subscriptions = read_file(path)
    with transaction(pool) as tx:
        for subscription in subscriptions:
            store.save_subscription(tx.conn, subscription)
            audit.record(tx, actor=actor, action="subscription-imported", subject=subscription.srn)
    return len(subscriptions)


def read_file(path: Path) -> list[Subscription]:
    """Read and check a file. Raises ImportRefused."""
    try:
        text = path.read_text("utf-8")
        rows = _csv_rows(text) if path.suffix == ".csv" else json.loads(text)["subscriptions"]
        return [_subscription(number, row) for number, row in enumerate(rows, start=1)]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, csv.Error) as error:
        raise ImportRefused(f"{path.name}: {type(error).__name__}: {error}") from error


def _csv_rows(text: str) -> list[Mapping[str, Any]]:
    rows = csv.DictReader(text.splitlines())
    return [dict(row) | {"server_names": (row.get("server_names") or "").split()} for row in rows]


def _subscription(number: int, row: Mapping[str, Any]) -> Subscription:
    try:
        data = _RowSchema().load(row)
        serial, not_after = _read_certificate(data["certificate"])
    except (ValidationError, ValueError) as error:
        raise ImportRefused(f"subscription {number}: {error}") from error
    return Subscription(**data | {"server_names": tuple(data["server_names"])}, serial=serial, not_after=not_after)


def _read_certificate(pem: str) -> tuple[str, datetime]:
    certificate = x509.load_pem_x509_certificate(pem.replace("\\n", "\n").encode())
    return f"{certificate.serial_number:x}", certificate.not_valid_after_utc

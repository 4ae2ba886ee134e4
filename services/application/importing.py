"""Import of subscriptions from the CA's register, as JSON or CSV: in batches, all of a file or nothing."""

import argparse
import csv
import hashlib
import json
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from marshmallow import Schema, ValidationError, fields, validate, validates, validates_schema
from psycopg.errors import UniqueViolation

from services.application import import_store
from services.application.import_store import Import
from services.application.period import Period, year_until
from services.application.subscription import Subscription
from shared import audit
from shared.db import Pool
from shared.errors import Refused
from shared.pki import armour
from shared.pki.armour import CERTIFICATE_LABELS
from shared.pki.orderable import NotOrderable, check_names
from shared.tx import transaction
from shared.validation import texts
from shared.validation.subscriber_record import RecordRefused, check_name
from shared.vocabulary import Product

# A batch holds its locks for some tens of milliseconds.
BATCH: Final = 500
_LOCKED_SECONDS: Final = 0.1
# Subscriptions were sold for up to two years; a longer period is a typing error.
LONGEST: Final = timedelta(days=3 * 366)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The number of rows that an import has checked or applied."""

    step: str
    rows: int


Report = Callable[[Progress], None]


class ImportRefused(Refused):
    """The file was not imported; the message names the fault and its place."""

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
    paid_from = fields.Date(load_default=None)
    paid_until = fields.Date(load_default=None)

    @validates("subscriber_name", "ar_name")
    def can_be_named(self, text: str, data_key: str) -> None:
        """Refuse a name that a certificate or a letter could not contain."""
        try:
            check_name(data_key, text)
        except RecordRefused as refused:
            raise ValidationError(f"{refused}") from refused

    @validates_schema
    def can_be_certified(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse server names that issuance could not certify."""
        try:
            check_names(data["product"], data["server_names"])
        except NotOrderable as refused:
            raise ValidationError(f"{refused}", "server_names") from refused

    @validates_schema
    def is_period(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse half a period, and one that ends before it begins."""
        first, last = data["paid_from"], data["paid_until"]
        if (first is None) != (last is None):
            raise ValidationError("paid_from and paid_until belong together.", "paid_until")
        if first is not None and not first <= last < first + LONGEST:
            raise ValidationError("The period must end after it begins, within three years.", "paid_until")


_ROW: Final = _RowSchema()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file", type=Path, help='file: JSON {"subscriptions": […]}, or CSV with server_names separated by spaces'
    )


def import_file(pool: Pool, path: Path, actor: str, *, batch: int = BATCH, report: Report = lambda _: None) -> int:
    """Import all of a file or nothing. Returns the number of subscriptions. Raises ImportRefused.

    All rows are checked before the first one is applied. Each batch is a separate transaction, so importing the same
    file again resumes an interrupted import. `report` is called after each batch.
    """
    digest = _sha256(path)
    with pool.connection() as locked:
        locked.autocommit = True  # the lock belongs to the session; no transaction stays open
        if not import_store.lock(locked):
            raise ImportRefused("another import is running")
        try:
            run = _begin(pool, digest, actor, batch)
            if run.checked_at is None:
                _check(pool, run, path, batch, report)
            return _apply(pool, run, actor, batch, report)
        finally:
            locked.execute("SELECT pg_advisory_unlock_all()")
            locked.autocommit = False


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImportRefused(f"{path.name}: {error}") from error


def _begin(pool: Pool, digest: str, actor: str, batch: int) -> Import:
    """Return the open import of this file, or a new one.

    An interrupted import of another file is completed if all its rows were checked, else abandoned.
    """
    with transaction(pool) as tx:
        run = import_store.find_open(tx.conn)
    if run is not None and run.file_sha256 == digest:
        return run
    if run is not None:
        if run.checked_at is not None:
            _apply(pool, run, actor, batch, lambda _: None)
        else:
            _give_up(pool, run, batch)
    with transaction(pool) as tx:
        return import_store.begin(tx.conn, digest, actor, tx.now)


def _give_up(pool: Pool, run: Import, batch: int) -> None:
    rows = batch
    while rows:
        with transaction(pool) as tx:
            rows = import_store.discard_rows(tx.conn, batch)
    with transaction(pool) as tx:
        import_store.end(tx.conn, run.id, tx.now)


def _check(pool: Pool, run: Import, path: Path, batch: int, report: Report) -> None:
    """Read and check the remaining rows. Raises ImportRefused, without storing anything."""
    read = run.rows_read
    try:
        for checked in _batches(read_file(path, skip=read), batch):
            _keep(pool, run, checked, read)
            read += len(checked)
            report(Progress(step="checked", rows=read))
        if not read:
            raise ImportRefused(f"{path.name}: there is no subscription in it")
    except ImportRefused:
        _give_up(pool, run, batch)
        raise
    with transaction(pool) as tx:
        import_store.save_checked(tx.conn, run.id, tx.now)


def _keep(pool: Pool, run: Import, checked: Sequence[Subscription], read: int) -> None:
    try:
        with transaction(pool) as tx:
            import_store.add_rows(tx.conn, run.id, checked, read + len(checked))
    except UniqueViolation:
        with transaction(pool) as tx:
            known = import_store.find_known(tx.conn, [each.srn for each in checked])
        for number, each in enumerate(checked, start=read + 1):
            if each.srn in known:
                raise ImportRefused(f"row {number}: SRN {each.srn} is there twice") from None
            known.add(each.srn)
        raise


def _apply(pool: Pool, run: Import, actor: str, batch: int, report: Report) -> int:
    applied = run.rows_applied
    while True:
        with transaction(pool) as tx:
            srns = import_store.apply_rows(tx.conn, run.id, batch)
            audit.record_each(tx, actor=actor, action="subscription-imported", subjects=srns)
            if not srns and not import_store.has_rows(tx.conn):
                import_store.end(tx.conn, run.id, tx.now)
                return applied
        if not srns:
            time.sleep(_LOCKED_SECONDS)  # all remaining rows are locked by others
            continue
        applied += len(srns)
        report(Progress(step="applied", rows=applied))


def read_file(path: Path, *, skip: int = 0) -> Iterator[Subscription]:
    """Yield the checked subscriptions of a file, after the rows to skip. Raises ImportRefused."""
    for number, row in enumerate(islice(_rows(path), skip, None), start=skip + 1):
        yield _subscription(number, row)


def _batches(rows: Iterator[Subscription], size: int) -> Iterator[list[Subscription]]:
    while batch := list(islice(rows, size)):
        yield batch


def _rows(path: Path) -> Iterator[Any]:
    """Yield the rows of a file; CSV is streamed. Raises ImportRefused."""
    try:
        if path.suffix.lower() == ".csv":
            yield from _csv_rows(path)
        else:
            yield from _json_rows(texts.decode(path.read_bytes()))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise ImportRefused(f"{path.name}: {error}") from error


def _json_rows(text: str) -> list[Any]:
    content = json.loads(text)
    rows = content.get("subscriptions") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise ValueError('expected {"subscriptions": [...]}')
    return rows


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as raw:
        encoding = texts.encoding_of(raw.read(texts.HEAD))
    with path.open(encoding=encoding, newline="") as file:
        for row in csv.DictReader(file, strict=True, restkey="surplus columns"):
            yield _filled(row) | {"server_names": (row.get("server_names") or "").split()}


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row without its empty cells."""
    return {name: value for name, value in row.items() if value not in (None, "")}


def _subscription(number: int, row: Any) -> Subscription:
    try:
        data = _ROW.load(row)
    except ValidationError as error:
        raise ImportRefused(f"row {number}: {_summary(error)}") from error
    try:
        certificate = x509.load_der_x509_certificate(armour.first(data["certificate"], *CERTIFICATE_LABELS) or b"")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        covered = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise ImportRefused(f"row {number}: certificate: not one that can be read, with server names") from error
    if missing := set(data["server_names"]) - covered:
        raise ImportRefused(f"row {number}: certificate: it does not name {', '.join(sorted(missing))}")
    period = _period(data.pop("paid_from"), data.pop("paid_until")) or year_until(certificate.not_valid_after_utc)
    # Serialised again, so that anything else in the field, such as a private key, is dropped.
    return Subscription(
        **data
        | {
            "server_names": tuple(data["server_names"]),
            "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        },
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc,
        paid_from=period.first,
        paid_until=period.last,
    )


def _period(first: date | None, last: date | None) -> Period | None:
    return None if first is None or last is None else Period(first=first, last=last)


def _summary(error: ValidationError) -> str:
    messages = error.messages_dict
    return "; ".join(f"{name}: {json.dumps(what, ensure_ascii=False)}" for name, what in sorted(messages.items()))

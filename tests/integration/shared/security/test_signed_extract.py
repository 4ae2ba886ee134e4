"""Signed extracts of real databases: read in one snapshot, and with the fields that the reconciliation knows."""

import importlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from backoffice.reconciliation import loading, tables
from shared import audit, db
from shared.events.payment import PaymentDeclined
from shared.messaging import outbox
from shared.security import audit_seals
from shared.security.signed_extract import OF_EVERY_SERVICE, Source, Table, claims_sha256, write
from shared.security.tokens import KeySet, SigningKey, TokenKind, sign, thumbprint
from shared.tx import transaction, utc_now
from tests.integration.shared.conftest import Writer
from tests.support.engines import Database

_PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = SigningKey(key=_PRIVATE, kid=thumbprint(_PRIVATE.public_key()))
KEYS = KeySet.parse({"keys": [KEY.jwk()]})
MakeDatabase = Callable[[str], Database]


def own_tables(service: str) -> Sequence[Table]:
    if service == "desk":
        return ()
    found: Sequence[Table] = importlib.import_module(f"services.{service}.extracts").TABLES
    return found


@pytest.mark.parametrize("service", ["identity", "application", "payment", "mailing", "issuance", "desk"])
def test_extract_has_the_fields_that_the_reconciliation_reads(database: MakeDatabase, service: str) -> None:
    with psycopg.connect(database(service).url) as conn:
        described = {
            table.name: tuple(sorted(column.name for column in conn.execute(table.query).description or ()))
            for table in (*OF_EVERY_SERVICE, *own_tables(service))
        }
    known = {name: columns for name, columns in tables.OF_EVERY_SERVICE.items() if name != "finding"}
    known |= {name: columns for (owner, name), columns in tables.OF_ONE_SERVICE.items() if owner == service}
    assert described == {name: tuple(sorted(columns)) for name, columns in known.items()}


def test_extract_of_a_receipt_that_was_signed_again_is_the_same(database: MakeDatabase) -> None:
    """A restored payment finds its captures at the provider again, and signs their receipts another time."""
    claims = {"sub": "renewal ä~?", "amount_minor": 5000}
    now = utc_now()
    tokens = [
        sign(said, kind=TokenKind.RECEIPT, key=KEY, now=at, issuer="payment")
        for said, at in (
            (claims, now),
            (claims, now + timedelta(days=1)),
            ({**claims, "amount_minor": 5001}, now),
            ({**claims, "payer_name": "x" * 2}, now),
        )
    ]
    with psycopg.connect(database("payment").url) as conn:
        query = "SELECT " + claims_sha256("token") + " FROM unnest(%s::text[]) AS token"
        digests = [row[0] for row in conn.execute(query, (tokens,)).fetchall()]
    assert tokens[0] != tokens[1]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def load(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:")
    tables.create(conn)
    loading.load_extract(conn, path, {"payment": KEYS}, now=utc_now())
    return conn


def test_extract_of_a_database_comes_back_whole_and_names_a_changed_audit_row(
    database: MakeDatabase, tmp_path: Path, writer: Writer
) -> None:
    made = database("payment")
    source = Source(service="payment", reads=["application.events"], tables=own_tables("payment"), key=KEY)
    path = tmp_path / "payment.jsonl"
    with db.open_pool(made.url, name="test", max_size=2) as pool:
        with transaction(pool) as tx:
            event = PaymentDeclined(renewal_id=writer.renewal_id, payment_id=writer.renewal_id, reason="1")
            announced = outbox.add(tx, event)
            audit.record(tx, actor="test", action="tried", subject=writer.key)
        assert audit_seals.seal_next(pool, KEY, service="payment", after=timedelta(0))
        with path.open("w") as file:
            first = write(pool, source, file.write, now=utc_now())
        found = load(path)
        assert found.execute("SELECT id, topic, key, sequence, sent FROM event").fetchall() == [
            (str(announced.id), "payment.events", writer.key, 1, 0)
        ]
        assert found.execute("SELECT sequence FROM counter").fetchall() == [(1,)]
        assert found.execute("SELECT count(*) FROM seal").fetchone() == (1,)
        assert found.execute("SELECT * FROM finding").fetchall() == []

        with psycopg.connect(made.superuser_url) as conn:
            conn.execute("UPDATE audit_log SET actor = 'nobody'")
        with path.open("w") as file:
            assert write(pool, source, file.write, now=utc_now()) != first
    assert load(path).execute("SELECT service, what FROM finding").fetchall() == [("payment", "a row was changed")]

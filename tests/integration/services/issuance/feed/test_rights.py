"""Rights of feed readers: every role and every route, straight at the process; and every way to be nobody."""

import threading
from datetime import timedelta
from itertools import product
from urllib.parse import quote

import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from flask.testing import FlaskClient

from services.issuance.feed import readers
from services.issuance.feed.readers import ReaderRefused, ReaderUnknown, Role
from shared.tx import transaction
from tests.integration.services.issuance.feed.conftest import Client, Feeding, client
from tests.support.engines import Database, Postgres

# The role table as it is promised: role, route, status.
ROUTES = ("/issuance/v1/issuance-events", "/issuance/v1/feed-head", "/issuance/v1/feed-keys")
GRANTED = {
    Role.READER: {*ROUTES},
    Role.MONITOR: {"/issuance/v1/feed-head", "/issuance/v1/feed-keys"},
    None: {"/issuance/v1/feed-keys"},
}


def refusal(http: FlaskClient, headers: dict[str, str], route: str = ROUTES[0]) -> tuple[int, str]:
    answer = http.get(route, headers=headers)
    return answer.status_code, answer.json["type"].rpartition(":")[2] if answer.json else ""


def test_every_role_is_in_the_table() -> None:
    assert GRANTED.keys() - {None} == {*Role} == {*readers.RIGHTS}


def test_every_route_is_in_the_table(feeding: Feeding) -> None:
    own = {rule.rule for rule in feeding.app.url_map.iter_rules() if rule.endpoint.startswith("feed.")}
    assert own == {*ROUTES}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("role", GRANTED)
def test_role_has_the_rights_of_its_row(feeding: Feeding, role: Role | None, route: str) -> None:
    who = client("someone")
    if role is not None:
        feeding.register(who, role=role)
    answer = feeding.http.get(route, headers=who.headers)
    assert (answer.status_code == 200) == (route in GRANTED[role])
    assert answer.status_code in (200, 403)


def test_feed_refuses_writing_methods(feeding: Feeding, reader: Client) -> None:
    for method, route in product(("POST", "PUT", "PATCH", "DELETE"), ROUTES):
        assert feeding.http.open(route, method=method, headers=reader.headers).status_code == 405


def test_missing_certificate_is_refused(feeding: Feeding) -> None:
    assert refusal(feeding.http, {}) == (403, "client-certificate-missing")


def test_unknown_certificate_is_refused(feeding: Feeding) -> None:
    assert refusal(feeding.http, client("x").headers) == (403, "reader-unknown")


def test_unknown_role_has_no_rights(feeding: Feeding, reader: Client) -> None:
    with feeding.pool.connection() as conn:
        conn.execute("UPDATE feed_readers SET role = 'owner'")
    assert refusal(feeding.http, reader.headers) == (403, "no-right")


def test_withdrawn_certificate_is_refused_at_once_and_permanently(feeding: Feeding, reader: Client) -> None:
    assert feeding.read(reader).status_code == 200
    feeding.withdraw(reader)
    assert refusal(feeding.http, reader.headers) == (403, "reader-withdrawn")
    with pytest.raises(ReaderRefused):
        feeding.register(reader)
    feeding.register(new := client("backoffice"))
    assert feeding.read(new).status_code == 200


def test_certificate_withdrawn_during_a_long_poll_gets_no_event(feeding: Feeding, reader: Client) -> None:
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(feeding.read(reader, wait=2).status_code))
    waiting.start()
    feeding.await_waiting(1)
    feeding.withdraw(reader)
    waiting.join(10)
    assert answers == [403]


def test_expired_certificate_is_refused_with_a_reason(feeding: Feeding) -> None:
    who = client("old", ends=timedelta(days=1))
    feeding.register(who)
    with feeding.pool.connection() as conn:
        conn.execute("UPDATE feed_readers SET not_after = now() - interval '1 second'")
    assert refusal(feeding.http, who.headers) == (403, "certificate-not-valid")


@pytest.mark.parametrize(
    ("begins", "ends"), [(timedelta(days=1), timedelta(days=2)), (timedelta(days=-2), timedelta(days=-1))]
)
def test_certificate_outside_its_validity_is_not_registered(
    feeding: Feeding, begins: timedelta, ends: timedelta
) -> None:
    with pytest.raises(ReaderRefused):
        feeding.register(client("x", begins=begins, ends=ends))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", None])
def test_certificate_is_registered_in_any_form(feeding: Feeding, encoding: str | None) -> None:
    who = client("x")
    der = who.certificate.public_bytes(serialization.Encoding.DER)
    file = der if encoding is None else f"subject=CN = x\n{who.pem}".encode(encoding)
    with transaction(feeding.pool) as tx:
        assert readers.register(tx, "x", Role.READER, file, actor="test").certificate_sha256 == who.sha256


def test_junk_is_not_registered_as_a_certificate(feeding: Feeding) -> None:
    with pytest.raises(ReaderRefused), transaction(feeding.pool) as tx:
        readers.register(tx, "x", Role.READER, b"no certificate", actor="test")


def test_withdrawal_of_an_unknown_certificate_is_refused(feeding: Feeding) -> None:
    with pytest.raises(ReaderUnknown):
        feeding.withdraw(client("x"))


def test_registration_and_withdrawal_are_audited(feeding: Feeding, reader: Client) -> None:
    feeding.withdraw(reader)
    with feeding.pool.connection() as conn:
        rows = conn.execute("SELECT actor, action, subject, details ->> 'reason' FROM audit_log ORDER BY id").fetchall()
    assert rows == [
        ("test", "feed-reader-registered", "backoffice", None),
        ("test", "feed-reader-withdrawn", "backoffice", "left"),
    ]


FORGED = (
    "x",
    'Cert="x"',
    'Cert=""',
    'Hash=00;Cert="x"',
    "{cert},{cert}",
    "By=x;{cert}",
    '{cert};Chain="x"',
    'Hash="{sha}";{cert}',
    f"Hash={'0' * 64};{{cert}}",
)


def test_header_in_another_form_than_the_gateways_is_refused(feeding: Feeding, reader: Client) -> None:
    cert = f'Cert="{quote(reader.pem, safe="")}"'
    for header in FORGED:
        forged = {"X-Forwarded-Client-Cert": header.format(cert=cert, sha=reader.sha256)}
        assert refusal(feeding.http, forged) == (400, "client-certificate-malformed"), header


HIDDEN = ("outbox", "pins", "certificates", "audit_log", "parked_events", "renewals", "idempotency_keys")
SEEN = ("feeds", "feed_readers", "feed_events")


def test_database_role_of_the_feed_can_only_read_the_feed(database_of_feed: Database, postgres: Postgres) -> None:
    url = postgres.url(database_of_feed.name, "issuance_feed")
    refused = [f"SELECT * FROM {table}" for table in HIDDEN] + [f"DELETE FROM {table}" for table in SEEN]
    with psycopg.connect(url, autocommit=True) as conn:
        for table in SEEN:
            conn.execute(f"SELECT * FROM {table}".encode())
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())

"""Every table of every database has a retention class, and what has had its time goes."""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest

from backoffice.desk.main import SERVICE as DESK
from deploy.postgres.roles import SERVICES
from services.application.main import SERVICE as APPLICATION
from services.identity import work as identity_work
from services.identity.main import SERVICE as IDENTITY
from services.issuance.main import SERVICE as ISSUANCE
from services.mailing.main import SERVICE as MAILING
from services.payment.main import SERVICE as PAYMENT
from shared import db
from shared.db import Pool
from shared.runtime import pruning
from shared.runtime.pruning import Rule
from shared.runtime.service import Service
from tests.integration.shared.conftest import NOW
from tests.support.engines import Database

DATA: Final = Path(__file__).parents[4] / "docs" / "data.md"
ALL: Final = {each.name: each for each in (IDENTITY, APPLICATION, PAYMENT, MAILING, ISSUANCE, DESK)}
CLASSES: Final = ("kept", "pruned after", "blanked after", "short-lived", "never grows")
# Lists of CRLs are pruned by the task that reads them.
OWN_TASK: Final = {("identity", "crls"): identity_work.KEEP}


def classes(section: str) -> dict[str, str]:
    """Return the retention classes that the page gives the tables of a database, or of every database."""
    [text] = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", DATA.read_text(), re.M | re.S)
    rows = re.findall(r"^\| ([a-z_]+) \| ([^|]+) \|", text, re.M)
    return {table: kind for table, kind in rows if table != "table"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_has_a_retention_class(database: Callable[[str], Database], service: str) -> None:
    with psycopg.connect(database(service).superuser_url) as conn:
        tables = {name for (name,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    said = classes("Every database") | classes(service)
    assert set(said) == tables
    assert all(kind.startswith(CLASSES) for kind in said.values())


@pytest.mark.parametrize("service", ALL.values(), ids=ALL)
def test_documented_retention_periods_are_those_of_the_code(service: Service) -> None:
    said = classes("Every database") | classes(service.name)
    days = {table: int(found[1]) for table, kind in said.items() if (found := re.search(r"after (\d+) days", kind))}
    rules = {rule.table: rule.kept_for(NOW.date()) for rule in (*pruning.OF_EVERY_DATABASE, *service.pruning)}
    rules |= {table: kept for (owner, table), kept in OWN_TASK.items() if owner == service.name}
    assert days == {table: kept.days for table, kept in rules.items()}


def test_retention_policy_applies_from_its_date() -> None:
    first, second = timedelta(days=30), timedelta(days=10)
    rule = Rule(table="x", keep=((NOW.date(), first), (NOW.date() + timedelta(days=1), second)), statement="SELECT 1")
    assert [rule.kept_for(NOW.date() + timedelta(days=each)) for each in (0, 1, 2)] == [first, second, second]


def find(service: Service, table: str) -> Rule:
    [rule] = [rule for rule in (*pruning.OF_EVERY_DATABASE, *service.pruning) if rule.table == table]
    return rule


# By table: a row of age %(age)s, and what is left of it when it is old, counted.
ROWS: Final = {
    ("application", "idempotency_keys"): (
        """INSERT INTO idempotency_keys (account, key, status, body, media_type, created_at)
           VALUES ('a', %(id)s, 200, '', 'x', %(time)s)""",
        "SELECT count(*) FROM idempotency_keys",
    ),
    ("application", "inbox"): (
        """INSERT INTO inbox (consumer, topic, key, last_sequence, advanced_on)
           VALUES ('application', 'payment.events', %(id)s, 3, %(time)s::date)""",
        "SELECT count(*) FROM inbox",
    ),
    ("application", "renewals"): (
        """INSERT INTO renewals (id, reference, subscriber_id, subscriber_name, ar_id, language, state, document,
                                 document_sha256, amount_minor, currency, created_at)
           VALUES (%(id)s::uuid, %(id)s::text, 'S', 'S', 'A', 'en', 'draft', 'd', 'd', 1, 'HKD', %(time)s)""",
        "SELECT count(*) FROM renewals",
    ),
    ("payment", "provider_webhooks"): (
        "INSERT INTO provider_webhooks (id, type, reference, received_at) VALUES (%(id)s, 't', 'r', %(time)s)",
        "SELECT count(*) FROM provider_webhooks",
    ),
    ("mailing", "mails"): (
        """WITH renewal AS (INSERT INTO renewals (renewal_id) VALUES (%(id)s) RETURNING renewal_id)
           INSERT INTO mails (id, renewal_id, template, language, recipient_name, recipient_address, message_id,
                              content, state, queued_at, due_at, settled_at)
           SELECT renewal_id, renewal_id, 'renewal-completed', 'en', 'n', 'a@example.hk', %(id)s,
                  '{"reference": "R", "secret": 1}', 'sent', %(time)s, %(time)s, %(time)s FROM renewal""",
        """SELECT count(*) FILTER (WHERE content ? 'secret') FROM mails""",
    ),
    ("issuance", "crls"): (
        "INSERT INTO crls (number, tbs, der, this_update) VALUES (%(number)s, '', '', %(time)s)",
        "SELECT count(*) FROM crls",
    ),
    ("identity", "outbox"): (
        """INSERT INTO outbox (event_id, topic, key, sequence, type, source, time, data, dataschema, sent_at)
           VALUES (%(id)s::uuid, 'identity.evidence', %(id)s::text, 1, 't', 's', %(time)s, 'a copy', 'd', %(time)s)""",
        "SELECT count(*) FROM outbox WHERE data <> ''",
    ),
    ("issuance", "outbox"): (
        """INSERT INTO outbox (event_id, topic, key, sequence, type, source, time, data, dataschema, sent_at)
           VALUES (%(id)s::uuid, 'issuance.pin-envelopes', %(id)s::text, 1, 't', 's', %(time)s, 'sealed', 'd',
                   %(time)s)""",
        "SELECT count(*) FROM outbox WHERE data <> ''",
    ),
}


@pytest.fixture
def made(database: Callable[[str], Database], request: pytest.FixtureRequest) -> Database:
    return database(request.getfixturevalue("where")[0])


@pytest.fixture
def pool(made: Database) -> Iterator[Pool]:
    with db.open_pool(made.url, name="test") as opened:
        yield opened


@pytest.mark.parametrize("where", ROWS, ids="-".join)
def test_rows_are_pruned_by_the_services_own_role_after_retention(
    where: tuple[str, str], made: Database, pool: Pool
) -> None:
    service, table = where
    add, count = ROWS[where]
    rule = find(ALL[service], table)
    kept = rule.kept_for(NOW.date())
    ages = [kept + timedelta(days=2), kept + timedelta(days=3), kept + timedelta(days=9), kept - timedelta(days=2)]
    with psycopg.connect(made.superuser_url) as conn:
        for number, age in enumerate(ages, start=1):
            conn.execute(add.encode(), {"id": str(uuid.uuid4()), "number": number, "time": NOW - age})
    batches = [pruning.prune_batch(pool, rule, clock=lambda: NOW, limit=2) for _ in range(3)]
    assert batches == [2, 1, 0]
    with pool.connection() as conn:
        assert conn.execute(count.encode()).fetchone() == (1,)


KEPT: Final = {
    "a held key": (
        "application",
        "inbox",
        """INSERT INTO inbox (consumer, topic, key, last_sequence, advanced_on, held_since, held_reason)
           VALUES ('application', 'payment.events', 'k', 3, '2001-01-01', now(), 'failed')""",
    ),
    "a renewal that was submitted": (
        "application",
        "renewals",
        ROWS["application", "renewals"][0].replace("'draft'", "'cancelled'"),
    ),
    "a draft that has a course": (
        "application",
        "renewals",
        f"""WITH made AS ({ROWS["application", "renewals"][0]} RETURNING id)
            INSERT INTO timeline (renewal_id, time, event) SELECT id, now(), 'x' FROM made""",
    ),
    "a mail that waits for a person": (
        "mailing",
        "mails",
        ROWS["mailing", "mails"][0].replace("'sent'", "'unconfirmed'"),
    ),
    "the newest list": ("issuance", "crls", ROWS["issuance", "crls"][0]),
    "another topic's event": (
        "issuance",
        "outbox",
        ROWS["issuance", "outbox"][0].replace("issuance.pin-envelopes", "issuance.events"),
    ),
    "another topic's event of identity": (
        "identity",
        "outbox",
        ROWS["identity", "outbox"][0].replace("identity.evidence", "identity.events"),
    ),
    "a copy of evidence that Kafka has not": (
        "identity",
        "outbox",
        ROWS["identity", "outbox"][0].replace("'a copy', 'd', %(time)s)", "'a copy', 'd', NULL)"),
    ),
    "a sealed PIN that Kafka has not": (
        "issuance",
        "outbox",
        ROWS["issuance", "outbox"][0].replace("%(time)s)", "NULL)"),
    ),
}


@pytest.mark.parametrize("where", KEPT.values(), ids=KEPT)
def test_needed_rows_stay_at_any_age(where: tuple[str, str, str], made: Database, pool: Pool) -> None:
    service, table, add = where
    with psycopg.connect(made.superuser_url) as conn:
        conn.execute(add.encode(), {"id": str(uuid.uuid4()), "number": 1, "time": NOW - timedelta(days=4000)})
    assert pruning.prune_batch(pool, find(ALL[service], table), clock=lambda: NOW) == 0


@pytest.mark.parametrize("where", [("issuance", "outbox")], ids="-".join)
def test_service_role_cannot_blank_events_needed_for_recovery(
    where: tuple[str, str], made: Database, pool: Pool
) -> None:
    add, count = ROWS[where]
    with psycopg.connect(made.superuser_url) as conn:
        values = {"id": str(uuid.uuid4()), "number": 1}
        conn.execute(add.replace("%(time)s", "now() - interval '30 days'").encode(), values)
    with pool.connection() as conn:
        assert conn.execute("SELECT * FROM blank_sealed_pins('infinity', 100)").fetchall() == []
        assert conn.execute(count.encode()).fetchone() == (1,)


@pytest.mark.parametrize("where", [("payment", "provider_webhooks")], ids="-".join)
def test_one_process_prunes_at_a_time_and_one_batch_per_iteration(
    where: tuple[str, str], made: Database, pool: Pool
) -> None:
    add, count = ROWS[where]
    with psycopg.connect(made.superuser_url) as conn:
        for _ in range(3):
            conn.execute(add.encode(), {"id": str(uuid.uuid4()), "time": NOW - timedelta(days=4000)})
    task = pruning.pruner(pool, [find(PAYMENT, where[1])], every=3600, clock=lambda: NOW)
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (pruning._LOCK,))
        assert pruning.prune_batch(pool, find(PAYMENT, where[1]), clock=lambda: NOW) == 0
    assert (task(), task()) == (False, False)
    with pool.connection() as conn:
        assert conn.execute(count.encode()).fetchone() == (0,)

"""Gauges that `work` exports: every service's figures on its own tables, and how they are taken."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY, Gauge

from services.application.main import SERVICE as APPLICATION
from services.issuance.main import SERVICE as ISSUANCE
from services.mailing.main import SERVICE as MAILING
from services.payment.main import SERVICE as PAYMENT
from shared import audit, db
from shared.db import Pool
from shared.errors import Refused
from shared.runtime import database_gauges
from shared.runtime.database_gauges import Reading
from shared.runtime.service import Service
from shared.tx import transaction
from tests.integration.shared.conftest import NOW, Deliver, Handler, Writer
from tests.support.engines import Database

SHELVES = Gauge("test_shelves", "Rows by a made-up shelf", ["shelf"])


@pytest.mark.parametrize("service", [APPLICATION, PAYMENT, MAILING, ISSUANCE], ids=lambda service: service.name)
def test_gauges_of_every_service_can_be_queried(service: Service, database: Callable[[str], Database]) -> None:
    with db.open_pool(database(service.name).url, name="test") as pool:
        assert (
            database_gauges.reader(pool, [*database_gauges.OF_EVERY_SERVICE, *service.readings], clock=lambda: NOW)()
            is False
        )
    assert service.readings


def test_age_of_waiting_rows_is_exported(pool: Pool) -> None:
    with transaction(pool, clock=lambda: NOW) as tx:
        audit.record(tx, actor="test", action="waits", subject="-")
    database_gauges.reader(pool, [database_gauges.AUDIT], clock=lambda: NOW + timedelta(seconds=90))()
    assert value("audit_oldest_unsealed_seconds") == 90


def test_empty_state_has_no_gauge(pool: Pool) -> None:
    for shelf in ("first", "second"):
        query: Any = f"SELECT '{shelf}', 7"
        database_gauges.reader(pool, [Reading(gauge=SHELVES, query=query)])()
    assert value("test_shelves", shelf="first") is None
    assert value("test_shelves", shelf="second") == 7


def test_held_keys_and_the_age_of_the_oldest_are_exported(pool: Pool, deliver: Deliver, handler: Handler) -> None:
    def read() -> None:
        database_gauges.reader(pool, database_gauges.OF_EVERY_SERVICE, clock=lambda: NOW + timedelta(seconds=300))()

    first, second, third = Writer(), Writer(), Writer()
    handler.failures["1"] = Refused("no")
    deliver(first.record(1), first.record(2), second.record(2), third.record(3))
    read()
    assert value("inbox_held_keys", consumer="application", reason="refused") == 1
    assert value("inbox_held_keys", consumer="application", reason="gap") == 2
    assert value("inbox_oldest_hold_seconds") == 300
    handler.failures.clear()
    deliver(second.record(1), third.record(1), third.record(2))
    read()
    assert value("inbox_held_keys", consumer="application", reason="gap") is None
    assert value("inbox_oldest_hold_seconds") == 300


def test_gauges_are_queried_once_per_interval(pool: Pool) -> None:
    read = database_gauges.reader(pool, [Reading(gauge=SHELVES, query="SELECT 'now', 1")], every=3600)
    read()
    SHELVES.labels("now").set(5)
    read()
    assert value("test_shelves", shelf="now") == 5


def value(name: str, **labels: str) -> float | None:
    """Return what the metrics page would say."""
    return REGISTRY.get_sample_value(name, labels)

"""The whole system compared with itself: a renewal that ended agrees everywhere, and what is lost of it is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from deploy.local.reconcile import Reconciliation
from devtools.scenario import invariants
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.support.engines import wait_until


def named(system: Target, renewal: str) -> set[str]:
    """Return the kinds of divergence of one renewal; other tests forge events of their own."""
    done = Reconciliation(installation=system.installation, grace=0).run()
    assert "kinds compared" in done.stdout, done.stderr
    assert done.stdout.count("state of ") == 6
    return {line.partition(":")[0] for line in done.stdout.splitlines() if f": {renewal}: " in line}


@contextmanager
def forgotten(system: Target, service: str, renewal: str) -> Iterator[None]:
    """Remove this renewal's events from the service's outbox until the block ends."""
    with psycopg.connect(system.installation.cluster.url(service), autocommit=True) as conn:
        conn.execute("CREATE TABLE kept AS SELECT * FROM outbox WHERE key = %s", (renewal,))
        conn.execute("DELETE FROM outbox WHERE key = %s", (renewal,))
        try:
            yield
        finally:
            conn.execute("INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM kept")
            conn.execute("DROP TABLE kept")


@pytest.mark.slow
def test_reconciliation_of_the_system_names_what_a_database_has_lost_and_nothing_else(
    system: Target, journey: Callable[..., Journey], spare: Iterator[str]
) -> None:
    renewal = journey(next(spare))
    renewal.apply()
    renewal.receive()
    renewal.fulfil()
    wait_until(lambda: invariants.at_rest(system), limit=60, what="nothing is left to do", every=0.5)

    assert named(system, renewal.id) == set()
    with forgotten(system, "payment", renewal.id):
        assert named(system, renewal.id) == {"event-missing-in-outbox", "sequence-gap"}
    assert named(system, renewal.id) == set()

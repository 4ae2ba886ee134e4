"""Readings of one renewal from the services' databases, with their owners' rights; nothing is written."""

from typing import Any

import psycopg

from deploy.postgres.roles import SERVICES
from devtools.scenario.target import Target


def rows(system: Target, service: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query on one service's database."""
    installation = system.installation
    url = installation.cluster.url(service, f"{service}_migrate", installation.passwords[f"postgres/{service}_migrate"])
    with psycopg.connect(url) as conn:
        return conn.execute(query.encode(), values).fetchall()


def events(system: Target, renewal_id: str) -> dict[str, list[str]]:
    """Return every event announced about a renewal: topic → names in order."""
    found: dict[str, list[str]] = {}
    for service in SERVICES:
        for topic, kind, sequence in rows(
            system, service, "SELECT topic, type, sequence FROM outbox WHERE key = %s ORDER BY topic, id", renewal_id
        ):
            names = found.setdefault(topic, [])
            names.append(kind.split(".")[3])
            assert sequence == len(names), f"{topic} has a hole before {kind}"
    return found


def tables(system: Target, service: str) -> list[str]:
    """Return the tables of one service."""
    return [
        row[0]
        for row in rows(
            system,
            service,
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        )
    ]

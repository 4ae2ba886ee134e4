"""Counts after a drill, taken separately from the databases, the provider, the inbox and the letter box."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
import urllib3

from deploy.kafka.topics import ACCESS
from deploy.local import stack
from deploy.postgres.roles import SERVICES
from devtools.scenario.gateway_client import plain_http
from devtools.scenario.journey import SUBJECT
from devtools.scenario.target import Target


def running(target: Target, moment: datetime) -> int:
    """Return the number of renewals that were submitted and had not ended at that time."""
    query = "SELECT 1 FROM renewals WHERE submitted_at <= %s AND (ended_at > %s OR ended_at IS NULL)"
    return len(_rows(target, "application", query, moment, moment))


def last_events(target: Target, moment: datetime) -> "Counter[str]":
    """Return the number of renewals by their last event at that time."""
    last: dict[str, tuple[datetime, str]] = {}
    for service in SERVICES:
        for key, time, kind in _rows(target, service, "SELECT key, time, type FROM outbox WHERE time <= %s", moment):
            last[key] = max(last.get(key, (time, kind)), (time, kind))
    return Counter(kind.split(".")[3] for _, kind in last.values())


def all_of(target: Target, renewals: Sequence[str]) -> dict[str, int]:
    """Return all counts by name."""
    return {
        "renewals of this drill": len(set(renewals)),
        "renewals completed": len(_rows(target, "application", "SELECT id FROM renewals WHERE state = 'completed'")),
        "captures at the provider": _captures(target),
        **_mails(target),
        "PIN Envelopes printed": len(list(target.installation.posting.glob("batch-*/*.pdf"))),
        "certificates issued": len(_certificates(target)),
        "items with two certificates": _doubles(item for item, _ in _certificates(target)),
        "serial numbers used twice": _doubles(serial for _, serial in _certificates(target)),
        "events with a hole before them": _holes(target),
        "events not sent": _unsent(target),
        "keys held": _held(target),
    }


def faults(counts: Mapping[str, int], *, renewals: int, items: int) -> list[str]:
    """Return the deviations from the expected counts."""
    wanted = {
        "renewals running at the kill": renewals,
        "renewals of this drill": renewals,
        "renewals completed": renewals,
        "captures at the provider": renewals,
        "CSR e-mails by Message-ID": renewals,
        "PIN Envelopes printed": items,
        "certificates issued": items,
        "items with two certificates": 0,
        "serial numbers used twice": 0,
        "mails sent more than twice": 0,
        "events with a hole before them": 0,
        "events not sent": 0,
        "keys held": 0,
        "reconciliations that diverge": 0,
    }
    return [f"{counts[name]} {name}, not {number}" for name, number in wanted.items() if counts[name] != number]


def at_rest(target: Target) -> bool:
    """Return whether all events are applied, all e-mails and letters are out, and every audit row is sealed.

    Seals last, and events twice: what is applied queues e-mails, what is sent is announced, and both write audit rows.
    """
    return _applied(target) and _sent(target) and _applied(target) and _sealed(target)


def _applied(target: Target) -> bool:
    announced = [
        row
        for service in SERVICES
        for row in _rows(target, service, "SELECT topic, key, last_sequence FROM outbox_sequences")
    ]
    for service, access in ACCESS.items():
        inbox = _rows(target, service, "SELECT topic, key, last_sequence, held_since FROM inbox")
        done = {(topic, key): math.inf if held else last for topic, key, last, held in inbox}
        if any(done.get((topic, key), 0) < last for topic, key, last in announced if topic in access.reads):
            return False
    return True


def _sent(target: Target) -> bool:
    queries = (
        "SELECT 1 FROM mails WHERE state IN ('queued', 'sending')",
        "SELECT 1 FROM pin_envelopes WHERE state IN ('sealed', 'printing')",
        "SELECT 1 FROM posting_batches WHERE state <> 'closed'",
    )
    return not any(_rows(target, "mailing", query) for query in queries)


def _sealed(target: Target) -> bool:
    return not any(_rows(target, service, "SELECT 1 FROM audit_log WHERE seal_id IS NULL") for service in ACCESS)


def _certificates(target: Target) -> list[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for (data,) in _rows(
        target, "issuance", "SELECT data FROM outbox WHERE type = 'hk.ecert.issuance.certificate-issued.v1'"
    ):
        event = json.loads(data)
        found.add((event["item_id"], event["serial"]))
    return sorted(found)


def _captures(target: Target) -> int:
    """Return the number of captures, counted by the provider itself."""
    environment = stack.sandbox_environment(target.installation)
    pool = urllib3.HTTPConnectionPool("127.0.0.1", target.installation.ports.sandbox, retries=False)
    headers = {"Authorization": f"Bearer {environment['SANDBOX_API_KEY']}"}
    effects = json.loads(pool.request("GET", "/admin/effects", headers=headers).data)
    pool.close()
    return sum(1 for effect in effects["data"] if effect["kind"] == "capture")


def _mails(target: Target) -> dict[str, int]:
    mails = json.loads(plain_http(f"{target.inbox_url}/api/email").body)
    by_id = Counter(mail["message_id"] for mail in mails if SUBJECT in mail["subject"])
    return {
        "CSR e-mails by Message-ID": len(by_id),
        "mails sent a second time (same Message-ID)": sum(1 for number in by_id.values() if number == 2),
        "mails sent more than twice": sum(1 for number in by_id.values() if number > 2),
    }


def _holes(target: Target) -> int:
    query = """SELECT 1 FROM (SELECT sequence - row_number() OVER (PARTITION BY topic, key ORDER BY sequence) AS gap
               FROM outbox) AS numbered WHERE gap <> 0"""
    return sum(len(_rows(target, service, query)) for service in SERVICES)


def _unsent(target: Target) -> int:
    return sum(len(_rows(target, service, "SELECT 1 FROM outbox WHERE sent_at IS NULL")) for service in SERVICES)


def _held(target: Target) -> int:
    return sum(len(_rows(target, service, "SELECT 1 FROM inbox WHERE held_since IS NOT NULL")) for service in SERVICES)


def _doubles(values: Any) -> int:
    return sum(1 for number in Counter(values).values() if number > 1)


def _rows(target: Target, service: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    installation = target.installation
    role = f"{service}_migrate"
    url = installation.cluster.url(service, role, installation.passwords[f"postgres/{role}"])
    with psycopg.connect(url) as conn:
        return conn.execute(query.encode(), values or None).fetchall()

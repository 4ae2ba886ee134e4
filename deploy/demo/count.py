"""Counts after a drill: what the databases, the provider, the inbox and the letter box hold, each counted by itself."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import urllib3

from deploy.demo.journey import SUBJECT, Journey
from deploy.demo.public import plain_http
from deploy.demo.target import Target
from deploy.local import stack
from deploy.local.postgres import SERVICES


def all_of(target: Target, journeys: Sequence[Journey]) -> dict[str, int]:
    """Every count, by what it counts."""
    ids = [journey.id for journey in journeys]
    return {
        "renewals completed": len(_rows(target, "application", "SELECT id FROM renewals WHERE state = 'completed'")),
        "certificates issued": len(_certificates(target)),
        "items with two certificates": _doubles(item for item, _ in _certificates(target)),
        "serial numbers used twice": _doubles(serial for _, serial in _certificates(target)),
        "captures at the provider": _captures(target),
        "PIN Envelopes printed": len(list(target.installation.posting.glob("batch-*/*.pdf"))),
        **_mails(target),
        "events with a hole before them": _holes(target),
        "events not sent": _unsent(target),
        "keys held": _held(target),
        "renewals of this drill": len(set(ids)),
    }


def faults(counts: Mapping[str, int], renewals: int) -> list[str]:
    """What should not be so."""
    wanted = dict.fromkeys(
        (
            "renewals completed",
            "certificates issued",
            "captures at the provider",
            "PIN Envelopes printed",
            "CSR e-mails by Message-ID",
            "renewals of this drill",
        ),
        renewals,
    )
    found = [f"{counts[name]} {name}, not {number}" for name, number in wanted.items() if counts[name] != number]
    never = [
        "items with two certificates",
        "serial numbers used twice",
        "mails sent more than twice",
        "events with a hole before them",
        "events not sent",
        "keys held",
    ]
    return found + [f"{counts[name]} {name}" for name in never if counts[name]]


def _certificates(target: Target) -> list[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for (data,) in _rows(
        target, "issuance", "SELECT data FROM outbox WHERE type = 'hk.ecert.issuance.certificate-issued.v1'"
    ):
        event = json.loads(data)
        found.add((event["item_id"], event["serial"]))
    return sorted(found)


def _captures(target: Target) -> int:
    """Asked of the provider itself, which counts what it did."""
    environment = stack.sandbox_environment(target.installation)
    pool = urllib3.HTTPConnectionPool("127.0.0.1", target.installation.ports.sandbox, retries=False)
    headers = {"Authorization": f"Bearer {environment['SANDBOX_API_KEY']}"}
    effects = json.loads(pool.request("GET", "/admin/effects", headers=headers).data)
    pool.close()
    return sum(1 for effect in effects["data"] if effect["kind"] == "capture")


def _mails(target: Target) -> dict[str, int]:
    mails = json.loads(plain_http(f"{target.inbox_url}/api/email").body)
    by_id = Counter(mail["message_id"] for mail in mails if mail["subject"] == SUBJECT)
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


def _rows(target: Target, service: str, query: str) -> list[tuple[Any, ...]]:
    installation = target.installation
    role = f"{service}_migrate"
    url = installation.cluster.url(service, role, installation.passwords[f"postgres/{role}"])
    with psycopg.connect(url) as conn:
        return conn.execute(query.encode()).fetchall()

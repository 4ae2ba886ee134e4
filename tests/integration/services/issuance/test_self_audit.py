"""Self-audit: the sample's size and chance, and the signed report."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.issuance import self_audit
from services.issuance.ca import validity_policy
from services.issuance.ct.log_list import LogList
from services.issuance.self_audit import Period, sample
from shared.pki.dated_rules import Dated
from shared.runtime.operator_commands import Report
from shared.security.tokens import TokenKind, TokenRefused, verify
from tests.integration.services.issuance.world import World
from tests.support.builders import key_set, signing_key
from tests.support.engines import Database
from tests.support.reports import row_of
from tests.support.transparency import running_logs
from tests.unit.services.issuance.pki import NOW

QUARTER = Period(since=datetime(2026, 10, 1, tzinfo=UTC), until=datetime(2027, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("issued", "percent", "size"), [(0, 3, 0), (1, 3, 1), (33, 3, 1), (34, 3, 2), (100, 3, 3), (101, 3, 4), (7, 100, 7)]
)
def test_sample_has_the_share_rounded_up_and_at_least_one(issued: int, percent: int, size: int) -> None:
    serials = [f"{number:x}" for number in range(issued)]
    found = sample(serials, percent, random.Random(1))
    assert len(found) == len(set(found)) == size
    assert set(found) <= set(serials)


def test_every_certificate_may_be_in_the_sample() -> None:
    serials = [f"{number:x}" for number in range(34)]
    found = {serial for seed in range(200) for serial in sample(serials, 3, random.Random(seed))}
    assert found == set(serials)


def audited(
    world: World, output: Path, period: Period = QUARTER, percent: int = 100, log_list: LogList | None = None
) -> Report:
    return self_audit.self_audit(
        world.pool,
        period,
        percent=percent,
        rng=random.Random(7),
        key=signing_key("audit"),
        log_list=log_list or running_logs().log_list,
        output=output,
        actor="auditor",
        clock=world.clock,
    )


def read(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.read_bytes())
    return found


def test_report_names_the_sample_and_is_signed_by_the_audit_key(world: World, tmp_path: Path) -> None:
    world.issued(["www.example.hk"], ["a.example.hk"], ["b.example.hk"])
    output = tmp_path / "audit.json"
    report = audited(world, output, percent=34)
    written = read(output)
    assert (report.failed, written["issued"], written["sampled"], written["with_findings"]) == (False, 3, 2, 0)
    serials = {serial for (serial,) in world.rows("SELECT serial FROM certificates")}
    assert {each["serial"] for each in written["certificates"]} < serials
    token = output.with_name("audit.json.jwt").read_text()
    claims = verify(token, kind=TokenKind.SELF_AUDIT, keys=key_set("audit"), now=world.now, issuer="issuance")
    assert claims["sub"] == sha256(output.read_bytes()).hexdigest()
    with pytest.raises(TokenRefused):
        verify(token, kind=TokenKind.EXTRACT, keys=key_set("audit"), now=world.now, issuer="issuance")
    ((actor, details),) = world.rows("SELECT actor, details FROM audit_log WHERE action = 'self-audit'")
    assert (actor, details["report_sha256"]) == ("auditor", claims["sub"])


def test_finding_of_todays_linter_fails_the_audit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.issued(["www.example.hk"])
    assert not audited(world, tmp_path / "a.json").failed
    stricter = Dated(tuple((day, 100) for day, _ in validity_policy.MAX_VALIDITY_DAYS.rows))
    monkeypatch.setattr("services.issuance.ca.lint.MAX_VALIDITY_DAYS", stricter)
    assert audited(world, tmp_path / "b.json").failed
    (certificate,) = read(tmp_path / "b.json")["certificates"]
    assert certificate["findings"] == [{"severity": "ERROR", "code": "issuance.validity_too_long", "message": ""}]


def test_scts_of_one_operator_are_a_finding(world: World, tmp_path: Path) -> None:
    world.issued(["www.example.hk"])
    known = running_logs().log_list
    of_one = replace(known, logs=tuple(replace(each, operator="One") for each in known.logs))
    assert audited(world, tmp_path / "audit.json", log_list=of_one).failed
    (certificate,) = read(tmp_path / "audit.json")["certificates"]
    assert [each["code"] for each in certificate["findings"]] == ["issuance.scts_of_like_operators"]


def kinds(output: Path) -> list[str]:
    return [f"{each['code']} {each['message']}" for made in read(output)["certificates"] for each in made["findings"]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("SET checked_at = checked_at", []),
        # A proof may be reused for 200 days; what was seen of CAA at that time is another check.
        ("SET checked_at = checked_at - interval '200 days'", ["caa_not_checked"]),
        ("SET checked_at = checked_at - interval '200 days 1 second'", ["validation_not_proved", "caa_not_checked"]),
        ("SET checked_at = checked_at - interval '8 hours'", []),
        ("SET checked_at = checked_at - interval '8 hours 1 second'", ["caa_not_checked"]),
        ("SET checked_at = checked_at + interval '1 second'", ["validation_not_proved", "caa_not_checked"]),
        ("SET method = NULL, reason = 'record-missing'", ["validation_not_proved"]),
        ("SET domain = 'other.example.hk'", ["validation_not_proved", "caa_not_checked"]),
        ("SET subscriber_id = 'SUB-2'", ["validation_not_proved", "caa_not_checked"]),
        (
            """SET caa = '{"primary": "hkg", "by": {"hkg": {"resolver": "", "observations": [], "failure": null}}}'""",
            ["caa_not_checked"],
        ),
    ],
)
def test_name_without_a_proof_or_an_answer_about_caa_in_the_books_is_a_finding(
    world: World, issuance: Database, tmp_path: Path, change: str, expected: list[str]
) -> None:
    world.issued(["*.example.hk"])
    # Two checks in the books of another certificate change nothing.
    world.issued(["www.other.hk"])
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute(f"UPDATE domain_checks {change} WHERE domain = 'example.hk'".encode())
    report = audited(world, tmp_path / "audit.json")
    assert report.failed is bool(expected)
    found = kinds(tmp_path / "audit.json")
    assert found == [f"issuance.{each} {name}" for name in ("*.example.hk", "example.hk") for each in expected]


@pytest.mark.parametrize(
    ("since", "until", "issued"),
    [
        (timedelta(0), timedelta(microseconds=1), 1),
        (timedelta(days=-1), timedelta(0), 0),
        (timedelta(microseconds=1), timedelta(days=1), 0),
    ],
)
def test_period_begins_with_its_first_moment_and_ends_before_the_next(
    world: World, tmp_path: Path, since: timedelta, until: timedelta, issued: int
) -> None:
    world.issued(["www.example.hk"])
    report = audited(world, tmp_path / "audit.json", Period(since=NOW + since, until=NOW + until))
    assert (report.failed, read(tmp_path / "audit.json")["sampled"]) == (False, issued)


def test_certificate_that_nobody_got_is_audited_too(world: World, tmp_path: Path) -> None:
    world.issued(["www.example.hk"])
    world.rows("UPDATE certificates SET given_out = false RETURNING 1")
    assert row_of(audited(world, tmp_path / "audit.json"))["issued"] == 1

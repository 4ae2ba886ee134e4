"""Rehearsal of each day on which rules change: the whole system, with every clock at one of the three seconds."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.local.installation import ROOT

SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
# The rules, written down here once more: a row of a table that is wrong must not make its own test pass.
NOT_CORROBORATED: Final = ["caa: not-corroborated"]
LAPSED: Final = ["validation: another-value"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Rules in force: days of validity, SCTs, and remote perspectives that must be asked."""

    days: int
    scts: int
    remotes: int = 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("day", "options", "before", "after", "waits"),
    [
        # Four remote perspectives, until the first order of the day has been judged without the fifth.
        (
            "2026-12-15",
            ("--remotes", "4"),
            Rules(days=199, scts=3, remotes=4),
            Rules(days=199, scts=3),
            {0: NOT_CORROBORATED},
        ),
        # Proofs may be reused for 200 days, then for 100.
        (
            "2027-03-15",
            ("--proof-age", "101"),
            Rules(days=199, scts=3),
            Rules(days=99, scts=2),
            {0: LAPSED, 1: LAPSED},
        ),
        # Methods end that the CA does not offer: nothing changes, so once a night is enough.
        pytest.param(
            "2028-03-15",
            ("--proof-age", "99"),
            Rules(days=99, scts=2),
            Rules(days=99, scts=2),
            {},
            marks=pytest.mark.nightly,
        ),
        # Proofs may be reused for 100 days, then for ten.
        (
            "2029-03-15",
            ("--proof-age", "11"),
            Rules(days=99, scts=2),
            Rules(days=46, scts=2),
            {0: LAPSED, 1: LAPSED},
        ),
    ],
    ids=["five remotes", "100 days", "methods end", "47 days"],
)
def test_certificates_follow_the_rules_of_their_second(
    tmp_path: Path, day: str, options: tuple[str, ...], before: Rules, after: Rules, waits: dict[int, list[str]]
) -> None:
    outcomes = rehearse(day, *options, output=tmp_path / "outcomes.json")
    begins = datetime.fromisoformat(day).replace(tzinfo=UTC)
    expected = [
        expectation(begins, moment, before if moment < 0 else after, waits.get(moment, []) if is_early else [])
        | {"is_early": is_early}
        for moment in (-1, 0, 1)
        for is_early in (True, False)
    ]
    assert [summary(each) for each in outcomes] == expected


def rehearse(day: str, *options: str, output: Path) -> list[dict[str, Any]]:
    """Run the rehearsal as `make rehearse` does. Returns what it saw."""
    command = [sys.executable, "-m", "devtools.scenario.date_rehearsal", day, *options, "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(output.read_text())
    return found


def expectation(begins: datetime, moment: int, rules: Rules, obstacles: list[str]) -> dict[str, Any]:
    """Return the summary of an order of that moment; one that waited is signed a little later, by the same rules."""
    at = (begins + timedelta(seconds=moment)).isoformat()
    return {
        "moment": moment,
        "obstacles": obstacles,
        "signed": "later" if obstacles else at,
        "perspectives asked": "later" if obstacles else at,
        "remotes": rules.remotes,
        "days": rules.days,
        "purposes": [SERVER_AUTH],
        "scts": rules.scts,
        "operators": 2,
        "checks": ("OK", []),
    }


def summary(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return what was seen in the form of an expectation."""
    got, domain, waited = outcome["certificate"], outcome["domain"], bool(outcome["obstacles"])
    asked_at = datetime.fromisoformat(domain["caa_at"]).replace(microsecond=0).isoformat()
    return {
        "moment": outcome["moment"],
        "is_early": outcome["is_early"],
        "obstacles": outcome["obstacles"],
        "signed": "later" if waited else got["not_before"],
        "perspectives asked": "later" if waited else asked_at,
        "remotes": domain["caa_remotes"],
        "days": got["days"],
        "purposes": got["purposes"],
        "scts": len(got["scts"]),
        "operators": len({each["operator"] for each in got["scts"]}),
        "checks": (got["openssl"], got["findings"]),
    }

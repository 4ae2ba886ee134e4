"""A large import: short transactions, progress, and a run that goes on where it was broken off."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.application import importing
from services.application.importing import ImportRefused, Progress, import_file
from shared.db import Pool
from shared.tx import transaction
from tests.support.builders import NOW, subscription_row

ROWS = 1_000
BATCH = 100
SAMPLE = subscription_row("0000000000")


class Dies(BaseException):
    """The process ends here."""


def register(folder: Path, *numbers: int, **changes: Any) -> Path:
    rows = [SAMPLE | {"srn": f"{number:010d}"} | changes for number in numbers]
    file = folder / f"register-{len(numbers)}-{len(changes)}.json"
    file.write_text(json.dumps({"subscriptions": rows}))
    return file


def dying_after(step: str, rows: int) -> importing.Report:
    def report(progress: Progress) -> None:
        if (progress.step, progress.rows) == (step, rows):
            raise Dies

    return report


def count(pool: Pool, table: str) -> int:
    with pool.connection() as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_no_transaction_is_larger_than_a_batch(pool: Pool, tmp_path: Path) -> None:
    seen: list[Progress] = []
    assert import_file(pool, register(tmp_path, *range(ROWS)), "test", batch=BATCH, report=seen.append) == ROWS
    with pool.connection() as conn:
        sizes = conn.execute("SELECT count(*) FROM subscriptions GROUP BY xmin").fetchall()
        audited = conn.execute("SELECT count(*) FROM audit_log GROUP BY xmin").fetchall()
    assert sizes == audited == [(BATCH,)] * (ROWS // BATCH)
    assert [(each.step, each.rows) for each in seen] == [
        (step, rows) for step in ("checked", "applied") for rows in range(BATCH, ROWS + 1, BATCH)
    ]


@pytest.mark.parametrize("step", ["checked", "applied"])
def test_interrupted_import_resumes_after_the_last_batch(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = register(tmp_path, *range(ROWS))
    with pytest.raises(Dies):
        import_file(pool, file, "test", batch=BATCH, report=dying_after(step, 500))
    assert count(pool, "subscriptions") == (500 if step == "applied" else 0)
    checked = counted(monkeypatch)
    seen: list[Progress] = []
    assert import_file(pool, file, "test", batch=BATCH, report=seen.append) == ROWS
    assert checked() == (500 if step == "checked" else 0)
    assert (seen[0].step, seen[0].rows) == (step, 600)
    assert (count(pool, "subscriptions"), count(pool, "import_rows")) == (ROWS, 0)
    assert count(pool, "audit_log") == ROWS


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    check, calls = importing._subscription, 0

    def counting(number: int, row: Any) -> Any:
        nonlocal calls
        calls += 1
        return check(number, row)

    monkeypatch.setattr(importing, "_subscription", counting)
    return lambda: calls


@pytest.mark.parametrize(("step", "kept"), [("checked", 0), ("applied", 300)])
def test_another_file_replaces_an_interrupted_import(pool: Pool, tmp_path: Path, step: str, kept: int) -> None:
    """A file is imported completely or not at all."""
    with pytest.raises(Dies):
        import_file(pool, register(tmp_path, *range(300)), "test", batch=BATCH, report=dying_after(step, 100))
    assert import_file(pool, register(tmp_path, 1000, 1001), "test", batch=BATCH) == 2
    assert (count(pool, "subscriptions"), count(pool, "import_rows")) == (kept + 2, 0)


def test_duplicate_srn_in_another_batch_refuses_the_whole_file(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="row 301: SRN 0000000007 is there twice"):
        import_file(pool, register(tmp_path, *range(300), 7), "test", batch=BATCH)
    assert (count(pool, "subscriptions"), count(pool, "import_rows")) == (0, 0)
    assert import_file(pool, register(tmp_path, *range(300)), "test", batch=BATCH) == 300


def test_second_concurrent_import_is_refused(pool: Pool, tmp_path: Path) -> None:
    refused: list[str] = []

    def report(_: Progress) -> None:
        with pytest.raises(ImportRefused, match="another import is running"):
            import_file(pool, register(tmp_path, 1), "test")
        refused.append("yes")

    assert import_file(pool, register(tmp_path, *range(5)), "test", report=report) == 5
    assert refused


def test_import_does_not_wait_for_locks_while_it_holds_some(pool: Pool, tmp_path: Path) -> None:
    """Another transaction locks subscriptions in the order of its events, which is not the import's."""
    import_file(pool, register(tmp_path, *range(ROWS)), "test", batch=BATCH)
    again = register(tmp_path, *range(ROWS), ar_id="ar-2")
    failed: list[BaseException] = []

    def run() -> None:
        try:
            import_file(pool, again, "test", batch=BATCH)
        except Exception as error:
            failed.append(error)

    importing_again = threading.Thread(target=run)
    with transaction(pool) as held:
        held.conn.execute("SELECT 1 FROM subscriptions WHERE srn = '0000000550' FOR UPDATE")
        importing_again.start()
        wait_until_applied(pool, ROWS - 1)
        held.conn.execute("SET LOCAL lock_timeout = '5s'")
        held.conn.execute("SELECT 1 FROM subscriptions WHERE srn <> '0000000550' ORDER BY srn DESC FOR UPDATE")
    importing_again.join(30)
    assert failed == []
    with pool.connection() as conn:
        assert conn.execute("SELECT DISTINCT ar_id FROM subscriptions").fetchall() == [("ar-2",)]


def wait_until_applied(pool: Pool, rows: int) -> None:
    deadline = time.monotonic() + 20
    enough = "SELECT 1 FROM subscriptions WHERE ar_id = 'ar-2' HAVING count(*) >= %s"
    while time.monotonic() < deadline:
        with pool.connection() as conn:
            if conn.execute(enough, (rows,)).fetchone():
                return
        time.sleep(0.02)
    raise AssertionError("the import does not go on")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_million_subscriptions_are_imported_in_minutes(pool: Pool, tmp_path: Path) -> None:
    rows, file, longest = 1_000_000, tmp_path / "register.csv", 0.0
    names = ("srn", *(name for name in SAMPLE if name != "srn"))
    values = [SAMPLE[name] for name in names[1:]]
    line = ",".join('"' + (" ".join(v) if isinstance(v, list) else str(v)) + '"' for v in values)
    with file.open("w") as out:
        out.write(",".join(names) + "\n")
        out.writelines(f'"{number:010d}",{line}\n' for number in range(rows))
    last = begun = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last, longest
        longest, last = max(longest, time.monotonic() - last), time.monotonic()

    assert import_file(pool, file, "test", report=report) == rows
    took = time.monotonic() - begun
    print(f"{rows} subscriptions in {took:.0f} s, the longest batch {longest:.2f} s ({NOW:%Y})")
    assert took < 30 * 60
    assert longest < 5


# Paid periods

PERIODS: list[tuple[dict[str, str], str]] = [
    ({"paid_from": "2026-06-01"}, "belong together"),
    ({"paid_until": "2027-05-31"}, "belong together"),
    ({"paid_from": "2027-06-01", "paid_until": "2027-05-31"}, "must end after"),
    ({"paid_from": "2026-06-01", "paid_until": "2062-05-31"}, "must end after"),
    ({"paid_from": "01/06/2026", "paid_until": "31/05/2027"}, "Not a valid date"),
]


@pytest.mark.parametrize(("period", "why"), PERIODS)
def test_unusable_period_refuses_the_file(pool: Pool, tmp_path: Path, period: dict[str, str], why: str) -> None:
    with pytest.raises(ImportRefused, match=why):
        import_file(pool, register(tmp_path, 1, **period), "test")
    assert count(pool, "subscriptions") == 0


def period_of(pool: Pool, number: int) -> tuple[str, str]:
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT paid_from::text, paid_until::text FROM subscriptions WHERE srn = %s", (f"{number:010d}",)
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_period_comes_from_the_file_or_from_the_certificate(pool: Pool, tmp_path: Path) -> None:
    import_file(pool, register(tmp_path, 1), "test")
    import_file(pool, register(tmp_path, 2, paid_from="2026-06-01", paid_until="2027-05-31"), "test")
    # The sample certificate ends 45 days after 23 November 2026.
    assert period_of(pool, 1) == ("2026-01-08", "2027-01-07")
    assert period_of(pool, 2) == ("2026-06-01", "2027-05-31")


def test_import_never_shortens_a_period(pool: Pool, tmp_path: Path) -> None:
    longer = {"paid_from": "2027-01-08", "paid_until": "2028-01-07"}
    for given in ({}, longer, {}, {"paid_from": "2026-01-08", "paid_until": "2027-01-07"}):
        import_file(pool, register(tmp_path, 1, **given), "test")
        if given == longer:
            assert period_of(pool, 1) == ("2027-01-08", "2028-01-07")
    assert period_of(pool, 1) == ("2027-01-08", "2028-01-07")

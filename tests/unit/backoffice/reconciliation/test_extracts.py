"""Extracts that prove nothing are refused: changed, cut, forged, missing."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from backoffice.reconciliation.comparing import ExtractMissing, Files, compare
from backoffice.reconciliation.loading import ExtractRefused
from backoffice.reconciliation.main import SERVICES
from backoffice.reconciliation.tables import BadRecord
from tests.unit.backoffice.reconciliation.world import NOW, good, key_of, keys, rewrite


def _cut(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))


def _short(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-2], lines[-1]]))


CASES: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "a changed record": (lambda path: rewrite(path, 1, state="open"), ExtractRefused, "changed"),
    "another day": (lambda path: rewrite(path, 0, taken_at="2026-12-01T00:00:00+00:00"), ExtractRefused, "changed"),
    "another service": (lambda path: rewrite(path, 0, service="identity"), BadRecord, "payment"),
    "a record dropped": (_short, ExtractRefused, "changed"),
    "no end": (_cut, ExtractRefused, "no end"),
    "no signature": (lambda path: rewrite(path, -1, signature="x"), ExtractRefused, "not signed"),
    "another format": (lambda path: rewrite(path, 0, format=99), ExtractRefused, "format"),
    "an unknown record": (lambda path: rewrite(path, 1, record="secret"), BadRecord, "secret"),
    "no file at all": (lambda path: path.write_text(""), ExtractRefused, "no extract"),
}


@pytest.mark.parametrize("case", CASES)
def test_extract_that_proves_nothing_is_refused(tmp_path: Path, case: str) -> None:
    change, error, words = CASES[case]
    files = good(tmp_path).files()
    change(tmp_path / "payment.jsonl")

    with pytest.raises(error, match=words):
        compare(files, services=SERVICES, now=NOW, grace=timedelta(0))


def test_extract_signed_by_another_service_is_refused(tmp_path: Path) -> None:
    files = good(tmp_path).files()
    swapped = {**keys(), "payment": keys()["issuance"]}

    with pytest.raises(ExtractRefused, match="not signed by payment"):
        compare(Files(extracts=files.extracts, keys=swapped), services=SERVICES, now=NOW, grace=timedelta(0))


def test_extract_that_is_missing_is_named(tmp_path: Path) -> None:
    files = good(tmp_path).files()

    with pytest.raises(ExtractMissing, match="mailing"):
        compare(
            Files(extracts=[path for path in files.extracts if path.stem != "mailing"], keys=files.keys),
            services=SERVICES,
            now=NOW,
            grace=timedelta(0),
        )


def test_extract_of_one_state_twice_has_one_state_hash(tmp_path: Path) -> None:
    world = good(tmp_path)
    first = world.compare().states
    world.taken_at["payment"] = NOW - timedelta(hours=1)
    assert world.compare().states == first
    world.one("payment", "payment").update(state="held")
    changed = world.compare().states
    assert {service for service in changed if changed[service] != first[service]} == {"payment"}
    assert key_of("payment").kid != key_of("issuance").kid

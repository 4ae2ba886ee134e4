"""A large enrolment: short transactions, all of a file or nothing, and a run that resumes an interrupted one."""

from collections.abc import Callable
from typing import Any

import pytest

from services.identity import enrolment
from services.identity.enrolment import Progress
from services.identity.refusals import EnrolmentRefused
from shared.db import Pool
from tests.integration.services.identity.conftest import CHAN, ar, count, subscriber

SUBSCRIBERS = 10
ARS = 3
BATCH = 6


class Dies(BaseException):
    """The process ends here."""


def register(**last: Any) -> dict[str, Any]:
    """Return a file of subscribers with three ARs each; `last` changes the last AR."""
    records = [
        subscriber(
            f"s{number}", "Example Limited", f"{10000000 + number}", *(person(number, each) for each in range(ARS))
        )
        for number in range(SUBSCRIBERS)
    ]
    records[-1]["authorised_representatives"][-1] |= last
    return {"subscribers": records}


def person(number: int, each: int) -> dict[str, Any]:
    held = [CHAN] if (number, each) == (0, 0) else []
    return ar(f"ar-{number}-{each}", "CHAN Tai Man", *held)


def dying_after(step: str, entries: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if (progress.step, progress.entries) == (step, entries):
            raise Dies

    return report


def test_no_transaction_is_larger_than_a_batch(pool: Pool) -> None:
    seen: list[Progress] = []
    assert enrolment.enrol(pool, register(), "test", batch=BATCH, report=seen.append) == (10, 30)
    with pool.connection() as conn:
        sizes = conn.execute("SELECT count(*) FROM authorised_representatives GROUP BY xmin").fetchall()
    assert sizes == [(BATCH,)] * 5
    assert [(each.step, each.entries) for each in seen] == [
        (step, entries) for step in ("checked", "enrolled") for entries in range(BATCH, 31, BATCH)
    ]


@pytest.mark.parametrize(("step", "kept"), [("checked", 0), ("enrolled", 12)])
def test_interrupted_enrolment_is_resumed_by_the_same_file(pool: Pool, step: str, kept: int) -> None:
    with pytest.raises(Dies):
        enrolment.enrol(pool, register(), "test", batch=BATCH, report=dying_after(step, 12))
    assert count(pool, "authorised_representatives") == kept
    for _ in range(2):
        assert enrolment.enrol(pool, register(), "test", batch=BATCH) == (10, 30)
        assert (count(pool, "subscribers"), count(pool, "authorised_representatives")) == (10, 30)
        assert count(pool, "audit_log") == 10 + 30 + 1


@pytest.mark.parametrize(
    "last",
    [{"id": "ar-0-0"}, {"certificates": [CHAN.pem]}, {"address": ["x" * 200] * 8}],
    ids=["AR of another subscriber", "e-Cert of another AR", "address"],
)
def test_fault_in_the_last_batch_refuses_the_whole_file(pool: Pool, last: dict[str, Any]) -> None:
    with pytest.raises(EnrolmentRefused):
        enrolment.enrol(pool, register(**last), "test", batch=BATCH)
    assert (count(pool, "subscribers"), count(pool, "audit_log")) == (0, 0)


def test_second_concurrent_enrolment_is_refused(pool: Pool) -> None:
    refused: list[str] = []

    def report(_: Progress) -> None:
        with pytest.raises(EnrolmentRefused, match="another enrolment is running"):
            enrolment.enrol(pool, register(), "test")
        refused.append("yes")

    enrolment.enrol(pool, register(), "test", report=report)
    assert refused
    assert enrolment.enrol(pool, register(), "test") == (10, 30), "the lock is free again"

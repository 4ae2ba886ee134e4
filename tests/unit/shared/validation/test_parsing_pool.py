"""The parsing pool: limits of time, memory and places, and what comes back."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from shared.validation.parsing_pool import ParserBusy, ParserFailed, Pool, TooCostly
from tests.unit.shared.validation import parsed


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool([parsed.__name__], workers=1, waiting=1, wait_timeout=0.3, call_timeout=30)
    yield pool
    pool.close()


def test_call_returns_what_the_function_returns(pool: Pool) -> None:
    assert pool.run(parsed.double, 21) == 42


def test_refusal_of_the_worker_is_raised_unchanged(pool: Pool) -> None:
    with pytest.raises(parsed.Particular, match="not these") as refused:
        pool.run(parsed.refuse)
    assert (refused.value.names, refused.value.extensions) == (("a.hk", "b.hk"), {"names": ["a.hk", "b.hk"]})


def test_fault_of_the_worker_is_raised_with_its_traceback(pool: Pool) -> None:
    with pytest.raises(ParserFailed, match="a fault of ours"):
        pool.run(parsed.fail)
    assert pool.run(parsed.double, 1) == 2


@pytest.mark.parametrize("costly", [parsed.spin, parsed.fill, parsed.end], ids=["cpu", "memory", "dead"])
def test_call_over_its_limits_is_refused_and_the_next_one_answered(pool: Pool, costly: Callable[[], object]) -> None:
    with pytest.raises(TooCostly):
        pool.run(costly)
    assert pool.run(parsed.double, 1) == 2


def test_call_that_only_waits_ends_at_its_timeout() -> None:
    pool = Pool([parsed.__name__], workers=1, call_timeout=0.5)
    with pytest.raises(TooCostly):
        pool.run(parsed.sleep, 60.0)
    pool.close()


def test_call_to_a_full_pool_is_refused_at_once(pool: Pool) -> None:
    running = [threading.Thread(target=_quietly, args=(pool,)) for _ in range(2)]
    for thread in running:
        thread.start()
    time.sleep(0.1)
    begun = time.monotonic()
    with pytest.raises(ParserBusy):
        pool.run(parsed.double, 1)
    assert time.monotonic() - begun < 0.1
    for thread in running:
        thread.join()
    assert pool.run(parsed.double, 1) == 2


def _quietly(pool: Pool) -> None:
    with contextlib.suppress(ParserBusy):
        pool.run(parsed.sleep, 0.6)


def test_worker_gets_no_secret_from_the_environment(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATABASE_URL", "postgresql://user:secret@host/db")
    mine = Pool([parsed.__name__], workers=1)
    assert set(mine.run(parsed.environment)) <= {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LC_CTYPE"}
    mine.close()


def test_worker_killed_while_idle_is_replaced(pool: Pool) -> None:
    pool.run(parsed.double, 1)
    process = pool._idle.queue[0]._process
    os.kill(process.pid, 9)
    process.wait()
    assert pool.run(parsed.double, 2) == 4

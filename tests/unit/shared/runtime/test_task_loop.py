"""The task loop and its heartbeat."""

import http.client
import threading
import time

import pytest

from shared.errors import Unavailable
from shared.lifecycle import Lifecycle, serve_admin
from shared.runtime.task_loop import claimed, run_tasks
from tests.support.engines import free_port


class Rows:
    """A task with so many due rows; ends the loop after the last one."""

    def __init__(self, count: int, life: Lifecycle) -> None:
        self.left = count
        self._life = life

    def __call__(self) -> bool:
        if self.left == 0:
            self._life.end()
            return False
        self.left -= 1
        return True


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def __call__(self) -> bool:
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("error", [Unavailable("down"), RuntimeError("a fault of ours")])
def test_failing_task_backs_off_without_delaying_the_others(error: Exception) -> None:
    life = Lifecycle()
    rows, failing = Rows(200, life), Failing(error)
    begun = time.monotonic()
    run_tasks([("failing", failing), ("rows", rows)], life)
    assert rows.left == 0
    assert time.monotonic() - begun < 5
    assert failing.calls <= 1 + (time.monotonic() - begun)


@pytest.mark.parametrize("error", [Unavailable("its own"), RuntimeError("a fault of ours")])
def test_rows_that_fail_do_not_delay_the_other_rows_of_their_task(error: Exception) -> None:
    life = Lifecycle()
    rows, failed = Rows(100, life), 0

    def task() -> bool:
        nonlocal failed
        if failed < 100:
            failed += 1
            with claimed():
                raise type(error)(*error.args)
        return rows()

    begun = time.monotonic()
    run_tasks([("task", task)], life)
    assert (failed, rows.left) == (100, 0)
    assert time.monotonic() - begun < 5


def test_loop_stops_between_two_tasks() -> None:
    life = Lifecycle()

    def first() -> bool:
        life.end()
        return True

    run_tasks([("first", first), ("second", Failing(AssertionError("too late")))], life)


def test_idle_loop_stops_at_once() -> None:
    life = Lifecycle()
    loop = threading.Thread(target=run_tasks, args=([("idle", lambda: False)], life))
    loop.start()
    life.end()
    loop.join(2)
    assert not loop.is_alive()


def test_admin_server_shows_readiness_liveness_and_metrics() -> None:
    life, port = Lifecycle(), free_port()
    server = serve_admin(("127.0.0.1", port), life)
    assert server is not None

    def status(path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    try:
        assert (status("/livez"), status("/readyz")) == (200, 503), "it lives, but its loop has not turned yet"
        life.beat()
        assert (status("/readyz"), status("/metrics"), status("/nothing")) == (200, 200, 404)
        life.end()
        assert (status("/livez"), status("/readyz")) == (200, 503)
    finally:
        server.shutdown()
        server.server_close()

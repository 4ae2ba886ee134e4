"""Fixtures of the kit's tests."""

import pytest

from shared.observability import logs


@pytest.fixture(autouse=True)
def tests_keep_their_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs inside a test would tell all later tests to log to its stream, which ends with it."""
    monkeypatch.setattr(logs, "configure", lambda *names, **options: None)

"""Without a collector nothing is recorded, and the caller's context is handed on as it came."""

import pytest

from shared.observability import tracing

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_caller_context_is_propagated_without_tracing() -> None:
    with tracing.span("process", parent=GIVEN) as handed_on:
        assert handed_on == GIVEN
        assert tracing.current() == GIVEN
    assert tracing.current() is None


@pytest.mark.parametrize("nonsense", [None, "", "00-0-0-0", "ÿ" * 55, GIVEN.upper(), f"00-{'0' * 32}-{'0' * 16}-01"])
def test_malformed_traceparent_is_ignored(nonsense: str | None) -> None:
    with tracing.span("process", parent=nonsense, links=[nonsense, GIVEN]) as handed_on:
        assert handed_on is None


def test_span_inside_another_takes_the_parent_it_is_given() -> None:
    other = GIVEN.replace("0af7", "1111")
    with tracing.span("batch", parent=other), tracing.span("process", parent=GIVEN) as handed_on:
        assert handed_on == GIVEN

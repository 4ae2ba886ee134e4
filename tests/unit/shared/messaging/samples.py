"""Any event at all, as its own class allows it."""

import uuid
from datetime import UTC, datetime

from hypothesis import strategies as st

from shared.events.base import Event
from shared.events.registry import ALL

MOMENTS = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
st.register_type_strategy(datetime, MOMENTS)
st.register_type_strategy(int, st.integers(min_value=-(2**63), max_value=2**63 - 1))
st.register_type_strategy(uuid.UUID, st.uuids())


def events() -> st.SearchStrategy[Event]:
    """Return one of all registered events, with whatever its fields may hold."""
    return st.sampled_from(sorted(ALL.values(), key=lambda event: event.TYPE)).flatmap(st.builds)

"""Golden records: each event version as it went to Kafka once, for ever readable and written the same way.

`python -m tests.contract.golden` writes the record of an event that has none yet; it never changes one that is there.
"""

import dataclasses
import json
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from shared.events.base import Envelope, Event
from shared.events.registry import ALL
from shared.messaging import codec

FOLDER: Final = Path(__file__).parent / "golden"
_MOMENT: Final = datetime(2026, 11, 23, 4, 5, 6, 789000, tzinfo=UTC)
_PLAIN: Final[Mapping[type, Callable[[str], object]]] = {
    uuid.UUID: lambda name: uuid.uuid5(uuid.NAMESPACE_URL, name),
    str: lambda name: f"{name} – 例",
    int: lambda name: 123456,
    bool: lambda name: True,
    datetime: lambda name: _MOMENT,
    date: lambda name: _MOMENT.date(),
}


def path(event: type[Event]) -> Path:
    """Return where an event's golden record lies."""
    return FOLDER / f"{event.TYPE}.json"


def load(event: type[Event]) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    """Return its key, headers and data."""
    record = json.loads(path(event).read_text("utf-8"))
    headers = [(name, value.encode()) for name, value in record["headers"].items()]
    return record["key"].encode(), headers, record["data"].encode()


def sample(kind: Any, name: str) -> Any:
    """Return a value of a type, always the same one."""
    if hasattr(kind, "__supertype__"):
        return sample(kind.__supertype__, name)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated or origin in (types.UnionType, typing.Union):
        return sample(arguments[0], name)
    if origin is tuple:
        return (sample(arguments[0], f"{name} 1"), sample(arguments[0], f"{name} 2"))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{field.name: sample(hints[field.name], field.name) for field in dataclasses.fields(kind)})  # type: ignore[operator]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    return _PLAIN[kind](name)


def _record(event: type[Event]) -> Mapping[str, object]:
    value = sample(event, event.TYPE)
    envelope = Envelope(
        id=uuid.uuid5(uuid.NAMESPACE_URL, event.TYPE),
        source=f"/{event.TOPIC.partition('.')[0]}",
        type=event.TYPE,
        topic=event.TOPIC,
        subject=str(value.subject),
        sequence=7,
        time=_MOMENT,
        data=codec.encode_data(value),
        dataschema=codec.schema_name(event.TYPE),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        causationid="0af7651916cd43dd8448eb211c80319c",
    )
    return {
        "key": envelope.subject,
        "headers": {name: raw.decode() for name, raw in codec.to_headers(envelope)},
        "data": envelope.data.decode(),
    }


def main() -> None:
    """Write what is missing."""
    FOLDER.mkdir(exist_ok=True)
    for event in ALL.values():
        if not path(event).exists():
            path(event).write_text(json.dumps(_record(event), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()

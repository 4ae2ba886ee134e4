"""Query and response bodies of the feed."""

import re
from typing import Any, Final

from marshmallow import Schema, fields, validate

from shared.messaging import codec

MAX_LIMIT: Final = 1000
# Less than the gateway's timeout for a request.
MAX_WAIT_SECONDS: Final = 25
_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,17}")


class _Digits(fields.Integer):
    """A number in a query: no sign, no space, ASCII digits only."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str) or not _DIGITS.fullmatch(value):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


def _described(text: str) -> dict[str, str]:
    return {"description": text}


class PageSchema(Schema):
    """The page of the feed, and how long to wait for it."""

    after = _Digits(
        load_default=0,
        validate=validate.Range(0),
        metadata=_described("The position that was read last; 0 for the beginning"),
    )
    limit = _Digits(load_default=100, validate=validate.Range(1, MAX_LIMIT), metadata=_described("Events at most"))
    wait = _Digits(
        load_default=0,
        validate=validate.Range(0, MAX_WAIT_SECONDS),
        metadata=_described("Seconds to wait for the next event, if there is none yet"),
    )


_TEXT: Final = {"type": "string"}
# CloudEvents 1.0, JSON batch format.
BATCH: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": [*codec.REQUIRED, "position", "signature", "datacontenttype", "data_base64"],
        "properties": {
            **dict.fromkeys(codec.REQUIRED, _TEXT),
            "sequence": {**_TEXT, "description": "1, 2, 3 … per subject, without holes"},
            "position": {**_TEXT, "description": "1, 2, 3 … over the whole feed, without holes"},
            "signature": {**_TEXT, "description": "Detached JWS (ES256)"},
            "datacontenttype": {"const": codec.CONTENT_TYPE},
            "data_base64": {**_TEXT, "contentEncoding": "base64", "description": "The very bytes of the Kafka record"},
            "traceparent": _TEXT,
            "causationid": _TEXT,
        },
    },
}
BATCH_HEADERS: Final = {
    "Feed-Head": {"description": "The last position there is", "required": True, "schema": _TEXT},
    "Link": {"description": "The next page, as rel=next", "required": True, "schema": _TEXT},
}
# RFC 7517.
KEYS: Final = {
    "type": "object",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
}


class HeadSchema(Schema):
    """The head of the feed."""

    position = fields.Integer(required=True, metadata=_described("The last event's position, 0 if there is none"))
    time = fields.AwareDateTime(allow_none=True, metadata=_described("The last event's time"))

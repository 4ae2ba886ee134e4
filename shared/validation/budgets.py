"""Budgets of a request: bytes of headers, elements of a body, errors of an answer, checked before a library reads them.

Parsers of headers, forms and schemas take time that grows with their input, sometimes with its square, and hold the
interpreter's lock. Each limit here is far above what a browser or a client of ours sends.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import flask
from werkzeug.exceptions import RequestEntityTooLarge, RequestHeaderFieldsTooLarge

MAX_HEADER_BYTES: Final = 2048
# Longer by nature; their readers have limits of their own.
_LONGER_HEADERS: Final[Mapping[str, int]] = {
    "authorization": 8192,
    "cookie": 8192,
    "referer": 8192,
    "x-forwarded-client-cert": 16_384,
}
MAX_FORM_FIELDS: Final = 1000
# An order has at most 600 server names, each counted twice with its PIN. Names of fields count, too.
MAX_JSON_ELEMENTS: Final = 4000
MAX_JSON_DEPTH: Final = 20
MAX_ERRORS: Final = 20
MAX_ERROR_TEXT: Final = 200


def check(request: flask.Request) -> None:
    """Refuse a request whose headers or form fields are over budget. Raises a werkzeug HTTPException (431 or 413)."""
    for name, value in request.headers.items():
        if len(value) > _LONGER_HEADERS.get(name.lower(), MAX_HEADER_BYTES):
            raise RequestHeaderFieldsTooLarge
    form = request.mimetype == "application/x-www-form-urlencoded"
    if form and request.get_data().count(b"&") >= MAX_FORM_FIELDS:
        raise RequestEntityTooLarge


def is_readable(request: flask.Request) -> bool:
    """Return whether path and query have no NUL, which PostgreSQL refuses, and the body is no JSON, or readable JSON.

    The body is always read: an unread one would break the gateway's connection in the middle of sending.
    """
    if "\0" in request.path or any("\0" in part for pair in request.args.items(multi=True) for part in pair):
        return False
    data = request.get_data()
    return not data or not request.is_json or _is_readable_json(data)


def _is_readable_json(data: bytes) -> bool:
    """Return whether this is JSON that a schema may read.

    Rejects too many elements, too deep nesting, NUL and lone surrogates.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    level, elements = [found], 1
    for _ in range(MAX_JSON_DEPTH):
        if not all(map(_is_plain, level)):
            return False
        level = [child for each in level for child in _children(each)]
        elements += len(level)
        if not level:
            return True
        if elements > MAX_JSON_ELEMENTS:
            return False
    return False


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _is_plain(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def first_errors(errors: Any) -> Any:
    """Return the first of a schema's errors, truncated: an answer must not grow with the request."""
    left = MAX_ERRORS

    def cut(found: Any) -> Any:
        nonlocal left
        if isinstance(found, dict):
            kept = {}
            for name, each in found.items():
                if left <= 0:
                    break
                kept[str(name)[:MAX_ERROR_TEXT]] = cut(each)
            return kept
        if isinstance(found, list):
            return [cut(each) for each in found[: max(left, 0)]]
        left -= 1
        return str(found)[:MAX_ERROR_TEXT]

    return cut(errors)

"""Strict DER: one value, one encoding, to the last byte.

asn1crypto and OpenSSL accept much of BER. If two parsers read a signature in two ways, a forger can choose, so anything
that is not DER is refused before other code reads it.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Final

from shared.errors import Refused

MAX_DEPTH: Final = 32
_MAX_LENGTH_BYTES: Final = 4
_CONSTRUCTED: Final = 0x20
_CLASS: Final = 0xC0
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_ALWAYS_CONSTRUCTED: Final = frozenset({_SEQUENCE, _SET})
_TIMES: Final = {_UTC_TIME: re.compile(rb"\d{12}Z"), _GENERALIZED_TIME: re.compile(rb"\d{14}(\.\d*[1-9])?Z")}


class NotDER(Refused):
    """The bytes are not a DER encoding."""

    reason = "not-der"


def require(data: bytes) -> None:
    """Require exactly one DER value that fills `data`. Raises NotDER."""
    if _value(data, 0, len(data), 0) != len(data):
        raise NotDER("bytes after the value")


def elements(contents: bytes) -> Iterator[bytes]:
    """Yield the encoded values inside a constructed value, in order."""
    position = 0
    while position < len(contents):
        _, _start, end = _header(contents, position, len(contents))
        yield contents[position:end]
        position = end


def contents_of(value: bytes) -> bytes:
    """Return the contents of one encoded value, without identifier and length."""
    _, start, end = _header(value, 0, len(value))
    return value[start:end]


def is_sorted_set(members: list[bytes]) -> bool:
    """Return whether these encodings are in the order of a DER SET OF, without duplicates."""
    return all(before < after for before, after in itertools.pairwise(members))


def _header(data: bytes, position: int, limit: int) -> tuple[int, int, int]:
    """Return the identifier octet of the value at `position`, and the start and end of its contents."""
    if limit - position < 2:
        raise NotDER("cut short")
    identifier, first = data[position], data[position + 1]
    if identifier & 0x1F == 0x1F:
        raise NotDER("a tag number over 30")
    start = position + 2
    length = first
    if first >= 0x80:
        size = first & 0x7F
        if not 1 <= size <= _MAX_LENGTH_BYTES or limit - start < size:
            raise NotDER("an indefinite, huge or cut length")
        length = int.from_bytes(data[start : start + size])
        start += size
        if length < 0x80 or length >> (8 * (size - 1)) == 0:
            raise NotDER("a length longer than need be")
    if start + length > limit:
        raise NotDER("cut short")
    return identifier, start, start + length


def _value(data: bytes, position: int, limit: int, depth: int) -> int:
    """Check the value at `position`. Returns its end."""
    if depth > MAX_DEPTH:
        raise NotDER("nested too deep")
    identifier, start, end = _header(data, position, limit)
    constructed = bool(identifier & _CONSTRUCTED)
    if identifier & _CLASS == 0 and constructed != (identifier in _ALWAYS_CONSTRUCTED):
        raise NotDER("a string in pieces, or a sequence that is none")
    if constructed:
        _members(data, identifier, start, end, depth)
    else:
        _primitive(identifier, data[start:end])
    return end


def _members(data: bytes, identifier: int, start: int, end: int, depth: int) -> None:
    members = []
    position = start
    while position < end:
        after = _value(data, position, end, depth + 1)
        members.append(data[position:after])
        position = after
    if identifier == _SET and not is_sorted_set(members):
        raise NotDER("a set out of order, or with one member twice")


def _primitive(identifier: int, contents: bytes) -> None:
    match identifier:
        case 0x00:
            raise NotDER("an end-of-contents mark")
        case 0x01:
            sound = contents in (b"\x00", b"\xff")
        case 0x02 | 0x0A:
            sound = _is_shortest_integer(contents)
        case 0x03:
            sound = _is_exact_bit_string(contents)
        case 0x05:
            sound = not contents
        case 0x06:
            sound = _is_shortest_oid(contents)
        case 0x17 | 0x18:
            sound = _TIMES[identifier].fullmatch(contents) is not None
        case _:
            sound = True
    if not sound:
        raise NotDER(f"a value of tag {identifier} that DER encodes otherwise")


def _is_shortest_integer(contents: bytes) -> bool:
    if len(contents) < 2:
        return bool(contents)
    return not ((contents[0] == 0 and contents[1] < 0x80) or (contents[0] == 0xFF and contents[1] >= 0x80))


def _is_exact_bit_string(contents: bytes) -> bool:
    if not contents or contents[0] > 7:
        return False
    unused = contents[0]
    if len(contents) == 1:
        return unused == 0
    return contents[-1] & ((1 << unused) - 1) == 0


def _is_shortest_oid(contents: bytes) -> bool:
    if not contents or contents[-1] & 0x80:
        return False
    starts = (index for index in range(len(contents)) if index == 0 or not contents[index - 1] & 0x80)
    return all(contents[index] != 0x80 for index in starts)

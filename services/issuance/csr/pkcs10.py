"""PKCS#10 (RFC 2986), parsed leniently: the key, the requested names, and the signature over the bytes as sent.

Only the key of a request reaches a certificate, so unused parts need not be valid: node-forge puts `*` into a
PrintableString, others an `&`; some omit the attributes or do not sort them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from asn1crypto import core

SEQUENCE: Final = (0, 16)
_INTEGER, _BIT_STRING, _OCTET_STRING, _OID, _SET = (0, 2), (0, 3), (0, 4), (0, 6), (0, 17)
_ATTRIBUTES: Final = (2, 0)
_DNS_NAME: Final = (2, 2)
_COMMON_NAME: Final = "2.5.4.3"
_ALTERNATIVE_NAMES: Final = "2.5.29.17"
# PKCS#9's, and Microsoft's equivalent.
_EXTENSION_REQUESTS: Final = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})
_STRINGS: Final = {
    12: "utf-8",
    19: "latin-1",
    20: "latin-1",
    22: "latin-1",
    26: "latin-1",
    28: "utf-32-be",
    30: "utf-16-be",
}
_SHORT: Final = {
    _COMMON_NAME: "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_MAX_ELEMENTS: Final = 2_000
_LENGTH_BYTES: Final = 4


class Malformed(Exception):
    """A part of the request cannot be parsed; `part` names it, and is empty if it may not be a request at all."""

    def __init__(self, part: str = "") -> None:
        super().__init__(f"the CSR's {part} cannot be read" if part else "this is no CSR")
        self.part = part


class TrailingBytes(Exception):
    """The input has more than one value."""


class OtherNames(Exception):
    """The request contains names that are not DNS names."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """A value in DER. `tag` is its class and number, `raw` all of it."""

    tag: tuple[int, int]
    raw: bytes
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Request:
    """The parts of a request, with its names unparsed. `signature` is None if it is not a whole number of bytes."""

    signed: bytes
    version: bytes
    subject: bytes
    spki: bytes
    attributes: bytes
    algorithm: bytes
    signature: bytes | None


def parse(der: bytes) -> Request:
    """Split a request into its parts. Raises Malformed, TrailingBytes."""
    try:
        _, end = _bounds(der, 0)
        [outer] = elements(der[:end])
        info, algorithm, signature = elements(outer.content)
        version, subject, spki, *rest = elements(info.content)
    except ValueError as error:
        raise Malformed from error
    if end != len(der):
        raise TrailingBytes
    tags = [outer.tag, info.tag, algorithm.tag, signature.tag, version.tag, subject.tag, spki.tag]
    if tags != [SEQUENCE, SEQUENCE, SEQUENCE, _BIT_STRING, _INTEGER, SEQUENCE, SEQUENCE]:
        raise Malformed
    if len(rest) > 1 or any(each.tag != _ATTRIBUTES for each in rest):
        raise Malformed("attributes")
    return Request(
        signed=info.raw,
        version=version.content,
        subject=subject.content,
        spki=spki.raw,
        attributes=rest[0].content if rest else b"",
        algorithm=algorithm.raw,
        signature=signature.content[1:] if signature.content[:1] == b"\x00" else None,
    )


def subject(request: Request) -> list[tuple[str, str]]:
    """Return the subject's attributes as OIDs and texts. Raises Malformed."""
    try:
        return [_attribute(pair) for rdn in elements(request.subject) for pair in elements(_checked(rdn, _SET))]
    except ValueError as error:
        raise Malformed("subject") from error


def common_names(attributes: list[tuple[str, str]]) -> tuple[str, ...]:
    """Return the common names that are not empty."""
    return tuple(text for oid, text in attributes if oid == _COMMON_NAME and text.strip())


def shown(attributes: list[tuple[str, str]]) -> str:
    """Return the subject for people (RFC 4514), with OIDs for attributes without a short name."""
    return ",".join(f"{_SHORT.get(oid, oid)}={_escaped(text)}" for oid, text in reversed(attributes))


def dns_names(request: Request) -> tuple[str, ...]:
    """Return the requested alternative names. Raises Malformed, OtherNames."""
    try:
        wanted = [values for oid, values in _attributes(request) if oid in _EXTENSION_REQUESTS]
        if not wanted:
            return ()
        [[extensions]] = wanted  # once, with one value: otherwise it is ambiguous which names are requested
        found = [value for oid, value in _extensions(extensions) if oid == _ALTERNATIVE_NAMES]
    except ValueError as error:
        raise Malformed("attributes") from error
    if not found:
        return ()
    try:
        [value] = found
        [names] = elements(value)
        each = elements(_checked(names, SEQUENCE))
        if not each:
            raise Malformed("alternative names")
        if any(name.tag != _DNS_NAME for name in each):
            raise OtherNames
        return tuple(name.content.decode("utf-8") for name in each)
    except ValueError as error:
        raise Malformed("alternative names") from error


def elements(content: bytes) -> list[Element]:
    """Return the values in these bytes, each of a definite length. Raises ValueError."""
    found: list[Element] = []
    at = 0
    while at < len(content):
        start, end = _bounds(content, at)
        identifier = content[at]
        found.append(Element(tag=(identifier >> 6, identifier & 0x1F), raw=content[at:end], content=content[start:end]))
        at = end
        if len(found) > _MAX_ELEMENTS:
            raise ValueError("too many elements")
    return found


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Return the start and end of the contents of the value at this position."""
    if len(data) - at < 2 or data[at] & 0x1F == 0x1F:
        raise ValueError("cut short, or a tag number over 30")
    start, length = at + 2, data[at + 1]
    if length >= 0x80:
        size = length & 0x7F
        start += size
        if not 1 <= size <= _LENGTH_BYTES or start > len(data):
            raise ValueError("an indefinite or huge length, or one cut short")
        length = int.from_bytes(data[start - size : start])
    if start + length > len(data):
        raise ValueError("cut short")
    return start, start + length


def oid(element: Element) -> str:
    """Return an object identifier in dotted form. Raises ValueError."""
    _checked(element, _OID)
    if not element.content:
        raise ValueError("an empty object identifier")
    try:
        return str(core.ObjectIdentifier.load(element.raw).dotted)
    except (IndexError, TypeError) as error:
        raise ValueError("an object identifier that is none") from error


def _checked(element: Element, tag: tuple[int, int]) -> bytes:
    if element.tag != tag:
        raise ValueError(f"another value than {tag}")
    return element.content


def _attribute(pair: Element) -> tuple[str, str]:
    kind, value = elements(_checked(pair, SEQUENCE))
    encoding = _STRINGS.get(value.tag[1], "latin-1") if value.tag[0] == 0 else "latin-1"
    return oid(kind), value.content.decode(encoding, "replace")


def _attributes(request: Request) -> Iterator[tuple[str, list[Element]]]:
    for attribute in elements(request.attributes):
        kind, values = elements(_checked(attribute, SEQUENCE))
        yield oid(kind), elements(_checked(values, _SET))


def _extensions(extensions: Element) -> Iterator[tuple[str, bytes]]:
    for extension in elements(_checked(extensions, SEQUENCE)):
        kind, *_, value = elements(_checked(extension, SEQUENCE))
        yield oid(kind), _checked(value, _OCTET_STRING)


def _escaped(text: str) -> str:
    escaped = "".join(f"\\{character}" if character in ',+"\\<>;=' else character for character in text)
    if escaped.startswith(("#", " ")):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if len(text) > 1 and text.endswith(" ") else escaped

"""DER as bytes: elements that are split and joined without being decoded. Every tag is one byte."""


class NotDER(ValueError):
    """Bytes that are not the expected elements in DER."""


def element(tag: int, content: bytes) -> bytes:
    """Return the element of this content."""
    return header(tag, len(content)) + content


def header(tag: int, length: int) -> bytes:
    """Return the tag and the length, in as few bytes as DER requires."""
    if length < 0x80:
        return bytes([tag, length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size


def content(der: bytes, tag: int) -> bytes:
    """Return the content of the one element that the bytes are. Raises NotDER if they are not one with this tag."""
    begins, ends = _bounds(der, 0)
    if der[0] != tag or ends != len(der):
        raise NotDER(f"not one element with the tag {tag:#04x}")
    return der[begins:]


def elements(der: bytes) -> list[bytes]:
    """Return the elements that the bytes are made of. Raises NotDER."""
    found, at = [], 0
    while at < len(der):
        _, ends = _bounds(der, at)
        found.append(der[at:ends])
        at = ends
    return found


def _bounds(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at this place begins and ends. Raises NotDER."""
    if at + 2 > len(der) or der[at] & 0x1F == 0x1F:
        raise NotDER("cut, or a tag of several bytes")
    begins, length = at + 2, der[at + 1]
    if length >= 0x80:
        begins += length & 0x7F
        length = int.from_bytes(der[at + 2 : begins])
    if der[at:begins] != header(der[at], length):
        raise NotDER("a length that is not in DER")
    if begins + length > len(der):
        raise NotDER("cut")
    return begins, begins + length

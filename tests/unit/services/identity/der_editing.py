"""Takes DER apart by position and puts another value in the place of one, with every length set right."""

from services.identity import der

Place = tuple[int, int]


def places(sample: bytes) -> list[Place]:
    """Return where each value inside `sample` starts and ends; the whole comes first."""
    found: list[Place] = []

    def walk(start: int, end: int) -> None:
        found.append((start, end))
        if sample[start] & 0x20:
            inside = end - len(der.contents_of(sample[start:end]))
            for member in der.elements(sample[inside:end]):
                walk(inside, inside + len(member))
                inside += len(member)

    walk(0, len(sample))
    return found


def replaced(sample: bytes, place: Place, value: bytes) -> bytes:
    """Return `sample` with `value` at `place`, and every length round it set right."""
    start, end = place

    def rebuild(position: int, limit: int) -> bytes:
        if (position, limit) == (start, end):
            return value
        if limit <= start or position >= end or not sample[position] & 0x20:
            return sample[position:limit]
        inside = limit - len(der.contents_of(sample[position:limit]))
        parts = []
        for member in der.elements(sample[inside:limit]):
            parts.append(rebuild(inside, inside + len(member)))
            inside += len(member)
        return sample[position : position + 1] + length(b"".join(parts))

    return rebuild(0, len(sample))


def length(body: bytes) -> bytes:
    """Return the body after its own length."""
    size = len(body)
    if size < 0x80:
        return bytes([size]) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([0x80 | len(octets)]) + octets + body

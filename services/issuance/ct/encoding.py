"""TLS encoding of RFC 6962's structures: integers, vectors with a length in front, and a reader with bounds."""

from dataclasses import dataclass


class Malformed(Exception):
    """Bytes that are no encoding of the expected structure."""


def vector(content: bytes, length_bytes: int) -> bytes:
    """Return the content after its length. Raises Malformed if it is too long."""
    if len(content) >= 1 << (8 * length_bytes):
        raise Malformed(f"a vector of {len(content)} bytes")
    return len(content).to_bytes(length_bytes) + content


@dataclass
class Reader:
    """A position in bytes; each method returns a part and moves on. All raise Malformed at the end of the bytes."""

    content: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        """Return that many bytes."""
        if self.at + count > len(self.content):
            raise Malformed("the structure ends too early")
        self.at += count
        return self.content[self.at - count : self.at]

    def integer(self, count: int) -> int:
        """Return an unsigned integer of that many bytes."""
        return int.from_bytes(self.take(count))

    def vector(self, length_bytes: int) -> bytes:
        """Return the content of a vector."""
        return self.take(self.integer(length_bytes))

    def end(self) -> None:
        """Check that nothing is left."""
        if self.at != len(self.content):
            raise Malformed("bytes after the end of the structure")

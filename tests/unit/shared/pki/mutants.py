"""Mutations of DER that parsers meet: other bytes, and well-formed values where they do not belong.

A value replaces another with every length round it set right, so a reader gets past the frame and meets the nonsense.
"""

import random
from collections.abc import Iterator
from typing import Final

from tests.unit.services.identity.der_editing import Place, places, replaced


def _value(tag: int, contents: bytes) -> bytes:
    assert len(contents) < 0x80
    return bytes([tag, len(contents)]) + contents


# Values out of their range, or of the wrong kind.
NONSENSE: Final = (
    b"",
    b"\x05\x00",
    b"\x30\x00",
    b"\x31\x00",
    b"\xa0\x00",
    b"\x04\x00",
    b"\x01\x01\x01",
    b"\x02\x00",
    b"\x02\x01\x00",
    b"\x02\x01\xff",
    _value(0x02, b"\x7f" + b"\xff" * 60),
    _value(0x02, b"\x80" + b"\x00" * 60),
    b"\x0a\x01\x7f",
    b"\x03\x01\x00",
    b"\x03\x01\x09",
    b"\x03\x02\x00\xff",
    b"\x06\x00",
    b"\x06\x01\x80",
    _value(0x06, b"\x2a" + b"\xff" * 40 + b"\x7f"),
    _value(0x17, b"000101000000Z"),
    _value(0x17, b"991332256061Z"),
    _value(0x17, b"0001010000Z"),
    _value(0x18, b"00000101000000Z"),
    _value(0x18, b"00010101000000Z"),
    _value(0x18, b"99991231235959Z"),
    _value(0x18, b"20260230000000Z"),
    _value(0x18, b"20261123040000.5Z"),
    _value(0x13, b"CHAN & SONS\xff"),
    _value(0x0C, b"\xff\xfe\xed\xa0\x80"),
    _value(0x0C, b"a\x00b"),
    _value(0x14, b"Caf\xe9 \xa4\xa4"),
    _value(0x16, b"\xff@example.hk"),
    _value(0x1E, b"\x00"),
    _value(0x1E, b"\xd8\x00"),
    _value(0x1C, b"\x00\x11\x00\x00"),
    _value(0x1F, b"x"),
    _value(0x82, b"\xff\x00.example"),
    _value(0x86, b"http://[::1"),
    _value(0x87, b"\x01\x02\x03"),
    _value(0x88, b"\x80"),
    _value(0xA4, b"\x30\x00"),
)


def of_structure(sample: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` samples with one value replaced by another of the sample, or by nonsense; the same each time."""
    chance = random.Random(seed)
    everywhere = places(sample)
    pool = [sample[start:end] for start, end in everywhere] + [*NONSENSE] * 4
    for _ in range(count):
        yield replaced(sample, chance.choice(everywhere), chance.choice(pool))


def of_every_field(sample: bytes, within: Place | None = None) -> Iterator[bytes]:
    """Yield samples with each nonsense in every place."""
    for place in places(sample):
        if within is None or (within[0] <= place[0] and place[1] <= within[1]):
            yield from (replaced(sample, place, value) for value in NONSENSE)


def of_bytes(sample: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield samples with up to four bytes changed, or a piece cut out."""
    chance = random.Random(seed)
    for _ in range(count):
        mutant = bytearray(sample)
        for _ in range(chance.randint(1, 4)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        if chance.random() < 0.2:
            start = chance.randrange(len(mutant))
            del mutant[start : start + chance.randrange(40)]
        yield bytes(mutant)

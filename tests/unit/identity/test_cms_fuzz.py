"""Whatever the bytes are, the verifier refuses them, unless they are the signature as it was made."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.identity import der
from services.identity.cms import verify
from services.identity.domain import SignatureRefused
from tests.unit.identity.builders import NOW, world
from tests.unit.identity.cms_builder import DOCUMENT, sign

# cryptography warns of oddities in a certificate that it reads all the same.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SAMPLES = (
    sign(world().holder),
    sign(world().holder, algorithm="rsassa_pss"),
)


def survives(signature: bytes) -> None:
    with contextlib.suppress(SignatureRefused):
        verify(signature, DOCUMENT, NOW)
        assert signature in SAMPLES, "a changed signature was accepted"


@settings(max_examples=400, deadline=None, derandomize=True)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_changed_bytes_are_refused_and_nothing_else(sample: bytes, data: st.DataObject) -> None:
    mutant = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(mutant))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_cut_and_pasted_bytes_are_refused_and_nothing_else(sample: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, len(sample)))
    survives(sample[:start] + data.draw(st.binary(max_size=40)) + sample[end:])


def _nested(sample: bytes) -> list[tuple[int, int]]:
    """Where each value inside a signature starts and ends."""
    found: list[tuple[int, int]] = []

    def walk(start: int, end: int) -> None:
        found.append((start, end))
        if sample[start] & 0x20:
            inside = end - len(der.contents_of(sample[start:end]))
            for member in der.elements(sample[inside:end]):
                walk(inside, inside + len(member))
                inside += len(member)

    walk(0, len(sample))
    return found


def _with_lengths(sample: bytes, start: int, end: int, replacement: bytes) -> bytes:
    """Put `replacement` in place of the value at start:end, and set right every length round it."""

    def rebuild(position: int, limit: int) -> bytes:
        if (position, limit) == (start, end):
            return replacement
        if limit <= start or position >= end or not sample[position] & 0x20:
            return sample[position:limit]
        inside = limit - len(der.contents_of(sample[position:limit]))
        parts = []
        for member in der.elements(sample[inside:limit]):
            parts.append(rebuild(inside, inside + len(member)))
            inside += len(member)
        body = b"".join(parts)
        size = len(body)
        length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2)
        if 0x80 <= size < 0x100:
            length = bytes([0x81, size])
        return sample[position : position + 1] + length + body

    return rebuild(0, len(sample))


PLACES = [(sample, start, end) for sample in SAMPLES for start, end in _nested(sample)]
VALUES = st.one_of(
    st.just(b""),
    st.sampled_from([bytes.fromhex(value) for value in ("0500", "3000", "3100", "a000", "020107", "06012a", "0400")]),
    st.builds(lambda place: place[0][place[1] : place[2]], st.sampled_from(PLACES)),
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_well_formed_nonsense_is_refused_and_nothing_else(place: tuple[bytes, int, int], value: bytes) -> None:
    survives(_with_lengths(*place, value))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_nothing_else(junk: bytes) -> None:
    survives(junk)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_what_is_der_is_taken_apart_without_loss(data: bytes) -> None:
    try:
        der.require(data)
    except der.NotDER:
        return
    assert b"".join(der.elements(data)) == data

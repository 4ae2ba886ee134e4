"""PINs: a slip is seen for nothing, a guess is not."""

import secrets
from contextlib import suppress
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.issuance.pins import pins
from services.issuance.pins.pins import Pepper, PINSlip

PEPPER = Pepper(b"p" * 32)
digit_positions = st.integers(0, pins.DIGITS - 1)


@given(digit_positions, st.integers(1, 9))
def test_check_digit_rejects_every_wrong_digit(position: int, change: int) -> None:
    pin = pins.make(secrets.token_bytes)
    wrong = str((int(pin[position]) + change) % 10)
    with pytest.raises(PINSlip):
        pins.typed(pin[:position] + wrong + pin[position + 1 :])


@given(st.integers(0, pins.DIGITS - 2))
def test_check_digit_rejects_every_swap_of_neighbours(position: int) -> None:
    pin = pins.make(secrets.token_bytes)
    swapped = pin[:position] + pin[position + 1] + pin[position] + pin[position + 2 :]
    if swapped != pin:
        with pytest.raises(PINSlip):
            pins.typed(swapped)


@given(st.text(max_size=100))
def test_any_text_is_a_pin_or_mistyped(text: str) -> None:
    with suppress(PINSlip):
        assert len(pins.typed(text)) == pins.DIGITS


def test_printed_pin_can_be_typed_in_many_forms() -> None:
    pin = pins.make(secrets.token_bytes)
    full_width = "".join(chr(ord(c) - ord("0") + ord("0")) for c in pin)
    for text in (
        pin,
        pins.for_print(pin),
        pins.for_print(pin).replace(" ", "-"),
        full_width,
        f" {pin}\n",
        "\u200e" + "–".join(pin),
    ):
        assert pins.typed(text) == pin


def test_hash_depends_on_pin_envelope_and_pepper() -> None:
    envelope, pin = uuid4(), pins.make(secrets.token_bytes)
    hashed = PEPPER.hash(envelope, pin, secrets.token_bytes)
    assert hashed.startswith("$argon2id$")
    assert pin not in hashed
    assert PEPPER.matches(envelope, pin, hashed)
    assert not PEPPER.matches(envelope, pins.make(secrets.token_bytes), hashed)
    assert not PEPPER.matches(uuid4(), pin, hashed)
    assert not Pepper(b"q" * 32).matches(envelope, pin, hashed)


def test_digits_come_from_the_randomness_given() -> None:
    assert pins.make(lambda count: bytes([250, 255] + [13] * (count - 2)))[:15] == "3" * 15


def test_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="pepper"):
        Pepper(b"short")

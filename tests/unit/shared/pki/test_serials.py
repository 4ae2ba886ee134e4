"""A serial number is one number, however a tool writes it."""

import pytest

from shared.pki.serials import SerialUnreadable, read_serial

KEPT = "a1b2c3d4e5f60718293a4b5c6d7e8f901"
PAIRS = ":".join(f"0{KEPT}"[i : i + 2] for i in range(0, len(KEPT) + 1, 2))


@pytest.mark.parametrize(
    "text",
    [
        KEPT,
        KEPT.upper(),
        f"0{KEPT}",
        f"000{KEPT.upper()}",
        f"0x{KEPT}",
        f"0X0{KEPT.upper()}",
        f"serial=0{KEPT.upper()}",
        PAIRS,
        PAIRS.upper(),
        f"  {PAIRS}\n",
        f"Serial Number: {PAIRS}",
        f"Serial Number:\n            {PAIRS}\n",
        PAIRS.replace(":", " "),
        PAIRS.replace(":", "-"),
        f"\u200e{PAIRS.replace(':', ' ')}",
        f"\u200e{KEPT}\ufeff",
        "".join(chr(ord(c) + 0xFEE0) for c in KEPT),
        f"{int(KEPT, 16)} (0x{KEPT})",
        f"Serial Number: {int(KEPT, 16)} (0x{KEPT})",
    ],
)
def test_every_spelling_is_the_same_number(text: str) -> None:
    assert read_serial(text) == KEPT


def test_single_digit_serial_number_is_zero_padded() -> None:
    assert (read_serial("00"), read_serial("0f"), read_serial("10:00")) == ("0", "f", "1000")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0x",
        "serial=",
        ":",
        "a:",
        ":a",
        "a::b",
        "-1",
        "0xx1",
        "12 (34)",
        "serial number",
        "number: 12",
        "g",
        "1_0",
        "1" * 101,
        "a\nb",
        "a\0",
    ],
)
def test_malformed_serial_number_is_refused(text: str) -> None:
    with pytest.raises(SerialUnreadable):
        read_serial(text)

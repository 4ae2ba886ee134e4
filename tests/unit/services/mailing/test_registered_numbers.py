"""Registered numbers as the post gives them (UPU S10)."""

import pytest

from services.mailing.domain import registered_number, s10_check_digit
from services.mailing.refusals import PostingRefused


def numbered(serial: int) -> str:
    """Return the registered number with this serial."""
    digits = f"{serial:08}"
    return f"RA{digits}{s10_check_digit(digits)}HK"


def test_check_digit_is_that_of_the_standards_example() -> None:
    assert s10_check_digit("47312482") == 9


@pytest.mark.parametrize(("serial", "digit"), [("00000000", 5), ("00000006", 2), ("10000000", 3), ("00000050", 0)])
def test_remainders_zero_and_one_have_special_digits(serial: str, digit: int) -> None:
    assert s10_check_digit(serial) == digit


@pytest.mark.parametrize(
    "text", [" ra 473 124 829 hk ", "RA-473-124-829-HK", "RA４73124829HK", "\u200eRA473\xa0124–829HK\ufeff"]
)
def test_registered_number_is_read_in_usual_spellings(text: str) -> None:
    assert registered_number(text) == "RA473124829HK"


@pytest.mark.parametrize("text", ["", "RA473124828HK", "EA473124829HK", "RA473124829"])
def test_malformed_registered_number_is_refused(text: str) -> None:
    with pytest.raises(PostingRefused):
        registered_number(text)

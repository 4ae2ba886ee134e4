"""A pasted list of PINs: every way in which people keep one, and nothing taken of a list that is not clear."""

import pytest

from portal.pin_list import Fault, ListRefused, read

NAMES = ["a.example.hk", "*.b.example.hk", "xn--fiqs8s.example.hk"]
PINS = ["1234 5678 9012 3456", "2345678901234567", "3456-7890-1234-5678"]
RIGHT = dict(zip(NAMES, PINS, strict=True))


@pytest.mark.parametrize("between", [" ", "\t", ",", ", ", ": ", ";", " = ", '","'])
def test_list_with_names_is_read_in_any_order_and_form(between: str) -> None:
    lines = [f"{name.upper()}{between}{pin}" for name, pin in reversed(RIGHT.items())]
    found = read("\r\n\n".join(lines), NAMES)
    assert (found.pins, found.named) == (RIGHT, True)


def test_name_may_be_written_as_people_read_it() -> None:
    assert read("中国.example.hk 1234", NAMES).pins == {NAMES[2]: "1234"}


def test_part_of_the_names_is_enough() -> None:
    assert read(f"{NAMES[1]} 1234", NAMES).pins == {NAMES[1]: "1234"}


def test_list_without_names_is_read_in_the_order_shown() -> None:
    found = read("\n".join([*PINS, "", " "]), NAMES)
    assert (found.pins, found.named) == (RIGHT, False)


@pytest.mark.parametrize(
    ("text", "fault", "number"),
    [
        ("1234", Fault.COUNT, 1),
        ("1\n2\n3\n4", Fault.COUNT, 4),
        (" ,", Fault.COUNT, 0),
        ("a.example.hk 1\n2", Fault.MIXED, 2),
        ("1\na.example.hk 2", Fault.MIXED, 1),
        ("c.example.hk 1", Fault.UNKNOWN_NAME, 1),
        ("Server name,PIN\na.example.hk,1", Fault.UNKNOWN_NAME, 1),
        ("b.example.hk 1", Fault.UNKNOWN_NAME, 1),
        ("a.example.hk 1\n\nA.example.hk 2", Fault.TWICE, 3),
        ("a.example.hk", Fault.NO_PIN, 1),
        ("1" * 200_000, Fault.TOO_LONG, 0),
    ],
)
def test_list_that_is_not_clear_is_refused_whole_with_its_line(text: str, fault: Fault, number: int) -> None:
    with pytest.raises(ListRefused) as refused:
        read(text, NAMES)
    assert (refused.value.fault, refused.value.number) == (fault, number)

"""The characters that enrolment accepts are those of the PIN Envelope's fonts."""

from datetime import date

import pytest

from devtools import printable
from services.mailing.refusals import EnvelopeUnusable
from shared.validation.printable import find_unprintable
from tests.unit.services.mailing.letter import a_letter
from tests.unit.services.mailing.test_letters import DATED, STATIONERY


def test_file_holds_the_ranges_of_the_fonts() -> None:
    assert printable.CHARACTERS.read_text("ascii") == printable.text(), "make docs"


@pytest.mark.parametrize(
    "text",
    ["CHAN Tai Man", "陳大文", "𨋢廠大廈", "Nguyễn Thị Ánh", "Łukasz Şahin Ő", "Иван", "김철수", "O’Brien – “x”"],
)
def test_printable_text_is_typeset(text: str) -> None:
    assert find_unprintable(text) is None
    assert STATIONERY.pdf(a_letter(recipient_name=text), DATED)


def test_every_fallback_letter_is_typeset() -> None:
    letters = "".join(map(chr, range(0x0100, 0x0180)))
    for start in range(0, len(letters), 32):
        assert STATIONERY.pdf(a_letter(recipient_name=letters[start : start + 32]), date(2026, 11, 23))


@pytest.mark.parametrize(
    ("text", "character"),
    [("陳\U00030000", "\U00030000"), ("สมชาย", "ส"), ("CHAN 😀", "😀"), ("\U0002a700", "\U0002a700"), ("a\x00", "\0")],
)
def test_unprintable_character_is_found(text: str, character: str) -> None:
    assert find_unprintable(text) == character
    if character != "\0":
        with pytest.raises(EnvelopeUnusable):
            STATIONERY.pdf(a_letter(recipient_name=text), DATED)

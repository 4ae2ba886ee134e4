"""Texts of people and their programs: every encoding, and nothing that nobody sees."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.validation import texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii"])
def test_file_of_any_spreadsheet_program_is_read(encoding: str) -> None:
    assert texts.decode("-----BEGIN CMS-----\r\n".encode(encoding)) == "-----BEGIN CMS-----\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_chinese_encodings_are_read(encoding: str) -> None:
    assert texts.decode("海港燈火".encode(encoding)) == "海港燈火"


def test_undecodable_bytes_are_refused_or_replaced() -> None:
    with pytest.raises(UnicodeDecodeError):
        texts.decode(b"\xa4\xa4\xb0\xea")
    assert texts.decode(b"\xa4\xa4", "replace") == "\ufffd\ufffd"
    assert texts.decode(b"") == ""


@pytest.mark.parametrize(
    "text",
    [
        "E-ABCDEFGHIJ",
        " e-abcdefghij\n",
        "e–abcdefghij",
        "E\u2011ABCDEFGHIJ",
        "\u200eE-ABCDE\u200bFGHIJ\ufeff",
        "Ｅ－ＡＢＣＤＥＦＧＨＩＪ",
        "E\xa0-\u3000ABCDE FGHIJ",
        "E−ABCDEFGHIJ",
        "EーABCDEFGHIJ",
    ],
)
def test_typed_text_is_compared_in_normalised_form(text: str) -> None:
    assert texts.typed(text) == "E-ABCDEFGHIJ"
    assert texts.reference(text) == texts.reference("eabcdefghij") == "E-ABCDEFGHIJ"


@pytest.mark.parametrize("text", ["\u0315\u0316" * 40_000, "\ufdfa" * 30_000, "\u200b" * 100_000, "e\u0301" * 50_000])
def test_any_text_is_read_quickly(text: str) -> None:
    begun = time.process_time()
    texts.typed(text)
    assert time.process_time() - begun < 1


@given(st.text(max_size=200))
def test_any_text_can_be_typed_and_has_no_blank_left(text: str) -> None:
    assert not any(character.isspace() for character in texts.typed(text))

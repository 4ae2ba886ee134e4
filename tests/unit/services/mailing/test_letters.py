"""The PIN Envelope: what is sealed is what is printed, on one page, readable by people and programs."""

import io
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pypdf
import pytest
from pypdf.generic import DictionaryObject

from devtools.scenario.postbox import read_letter
from services.mailing.domain import Help, Letter
from services.mailing.letters.pin_envelope import DEFAULT_FONTS, Stationery
from services.mailing.print_key import PrintKey
from services.mailing.refusals import EnvelopeUnusable
from shared.vocabulary import Language
from tests.unit.services.mailing.letter import PIN, a_letter, a_print_key, seal, sealed_content

DATED = date(2026, 11, 23)
STATIONERY = Stationery(
    fonts=DEFAULT_FONTS,
    help=Help(telephone="2921 6633", email="enquiry@eCert.gov.hk"),
    portal="https://portal.ecert.localhost",
)


def read(letter: Letter) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(STATIONERY.pdf(letter, DATED)))


def text_of(letter: Letter) -> str:
    reader = read(letter)
    assert len(reader.pages) == 1
    return reader.pages[0].extract_text()


def test_letter_contains_everything_the_reader_needs() -> None:
    text = text_of(a_letter())
    for wanted in (f"PIN {PIN}\n", "*.secure.example.com.hk\n", "R26-000123-1", "REGISTERED POST", "23 November 2026"):
        assert wanted in text
    for line in (a_letter().recipient_name, *a_letter().address, "2921 6633"):
        assert line in text


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (Language.ENGLISH, ("Server name *", "Your PIN for one server name", "Dear Ms CHAN", "Hongkong Post Cert")),
        (Language.TRADITIONAL_CHINESE, ("伺服器名稱 *", "一個伺服器名稱的密碼", "密碼匙", "香港郵政核證機關")),
        (Language.SIMPLIFIED_CHINESE, ("服务器名称 *", "一个服务器名称的密码", "密钥", "香港邮政核证机关")),
    ],
)
def test_letter_is_in_the_readers_language_with_the_address_verbatim(
    language: Language, words: tuple[str, ...]
) -> None:
    letter = a_letter(language=language)
    text = text_of(letter)
    for wanted in (*words, f"{PIN}\n", letter.recipient_name, *letter.address, "REGISTERED POST 掛號郵件"):
        assert wanted in text
    tagged = cast(DictionaryObject, read(letter).trailer["/Root"])["/Lang"]
    assert str(tagged) == {"en": "en-HK", "zh-Hant": "zh-HK", "zh-Hans": "zh-CN"}[language]


@pytest.mark.parametrize("language", list(Language))
def test_letter_is_read_back_in_every_language(language: Language, tmp_path: Path) -> None:
    file = tmp_path / "letter.pdf"
    file.write_bytes(STATIONERY.pdf(a_letter(language=language), DATED))
    letter = read_letter(file)
    assert (letter.reference, letter.server_name, letter.pin) == ("R26-000123-1", "*.secure.example.com.hk", PIN)


@pytest.mark.parametrize("pin", ["0123456789012345", "ABCD-EFGH-JKLM-NPQR", "7K3F9", "A" * 32])
def test_pin_is_extracted_exactly(pin: str) -> None:
    assert f"PIN {pin}\n" in text_of(a_letter(pin=pin))


@pytest.mark.parametrize("name", ["a.hk", f"{'a' * 40}.{'b' * 30}.example.hk", "xn--55qx5d.xn--j6w193g"])
def test_server_name_is_extracted_exactly(name: str) -> None:
    assert f"{name}\n" in text_of(a_letter(server_name=name))


def test_longest_letter_is_still_one_page() -> None:
    name = ".".join(["a" * 60] * 4) + ".example"
    lines = tuple(f"{number} A very long line of an address 一條很長的地址 in Hong Kong" for number in range(7))
    text = text_of(a_letter(server_name=name, address=lines, organisation="機構" * 40, recipient_name="陳" * 40))
    assert name in text.replace("\n", "")


def test_address_beyond_the_window_is_not_printed() -> None:
    lines = tuple(f"{number} A very long line of an address 一條很長的地址 in Hong Kong" for number in range(20))
    with pytest.raises(EnvelopeUnusable, match="does not fit the window") as refusal:
        STATIONERY.pdf(a_letter(address=lines), DATED)
    assert PIN not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "character"),
    [("陳\U00030000明", "U+30000"), ("สมชาย ใจดี", "U+0E2A"), ("CHAN 😀", "U+1F600"), ("\U0002a700", "U+2A700")],
)
def test_character_without_a_font_makes_the_envelope_unusable_by_name(name: str, character: str) -> None:
    for letter in (a_letter(recipient_name=name), a_letter(organisation=name), a_letter(address=("1 Road", name))):
        with pytest.raises(EnvelopeUnusable) as refusal:
            STATIONERY.pdf(letter, DATED)
        assert character in str(refusal.value)
        assert PIN not in str(refusal.value)


def test_any_other_typesetting_error_makes_the_envelope_unusable(tmp_path: Path) -> None:
    for letter in (a_letter(pin="\U00030000" * 16), a_letter(reference="\U00030000")):
        with pytest.raises(EnvelopeUnusable) as refusal:
            STATIONERY.pdf(letter, DATED)
        assert letter.pin not in str(refusal.value)
    with pytest.raises(EnvelopeUnusable, match="cannot be typeset"):
        replace(STATIONERY, fonts=tmp_path).pdf(a_letter(recipient_name="陳"), DATED)


def test_markup_in_a_name_is_printed_as_text() -> None:
    evil = '#eval("1+1") \\ *x* $y$ " ] } <a> @b'
    assert evil in text_of(a_letter(address=(evil,)))


def test_characters_of_the_hong_kong_set_have_a_font() -> None:
    hkscs = "𨋢 㗎 嚿 𠝹 㷫 𡃁 邨 鰂魚涌 𠵱 茘枝角"
    reader = read(a_letter(address=(hkscs,)))
    resources = cast(DictionaryObject, reader.pages[0]["/Resources"])
    fonts = [str(font.get_object()["/BaseFont"]) for font in cast(DictionaryObject, resources["/Font"]).values()]
    assert any("NotoSansCJKhk" in font for font in fonts)
    assert hkscs in reader.pages[0].extract_text()


def test_same_letter_is_the_same_file() -> None:
    assert STATIONERY.pdf(a_letter(), DATED) == STATIONERY.pdf(a_letter(), DATED)


def test_pdf_is_tagged_and_has_a_title() -> None:
    reader = read(a_letter())
    assert reader.metadata is not None
    assert reader.metadata.title == "PIN Envelope R26-000123-1"
    assert "/StructTreeRoot" in cast(DictionaryObject, reader.trailer["/Root"])
    assert PIN not in str(reader.metadata)


def test_print_key_decrypts_a_sealed_letter() -> None:
    key, certificate = a_print_key()
    assert PrintKey(key, certificate).open(seal(sealed_content(a_letter()), certificate)) == a_letter()


def test_letter_encrypted_for_another_key_is_not_decrypted() -> None:
    _, other = a_print_key("other")
    with pytest.raises(EnvelopeUnusable):
        PrintKey(*a_print_key()).open(seal(sealed_content(a_letter()), other))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"pin": "1234"}',
        sealed_content(a_letter()) | {"pin": 1234},
        sealed_content(a_letter()) | {"pin": "12 34"},
        sealed_content(a_letter()) | {"pin": ""},
        sealed_content(a_letter()) | {"pin": "P" * 41},
        sealed_content(a_letter()) | {"envelope_id": "x"},
    ],
)
def test_sealed_content_that_is_no_letter_is_refused_unquoted(content: Any) -> None:
    key, certificate = a_print_key()
    with pytest.raises(EnvelopeUnusable) as refusal:
        PrintKey(key, certificate).open(seal(content, certificate))
    assert "1234" not in str(refusal.value)


@pytest.mark.parametrize("sealed", [b"", b"nonsense", b"\x30\x82\x01\x00"])
def test_bytes_that_are_no_cms_are_refused(sealed: bytes) -> None:
    with pytest.raises(EnvelopeUnusable):
        PrintKey(*a_print_key()).open(sealed)


def test_letter_repr_shows_no_pin() -> None:
    assert PIN not in repr(a_letter())

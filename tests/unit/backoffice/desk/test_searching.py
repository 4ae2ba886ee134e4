"""Search texts that staff type or paste, and their meanings."""

import uuid

import pytest

from backoffice.desk.searching import Sought, read

RENEWAL = uuid.UUID("2b9c1c1e-7a55-4b3e-9a35-0f2f6f5d8c11")


@pytest.mark.parametrize(
    "text",
    ["E-ABCDEFGH23", "e-abcdefgh23", " E ABCD EFGH 23\n", "EABCDEFGH23", "e–abcdefgh23", "\u200eE\u2011ABCDEFGH23"],
)
def test_reference_is_read_however_it_is_typed(text: str) -> None:
    assert read(text).reference == "E-ABCDEFGH23"


def test_reference_is_found_by_a_long_enough_prefix() -> None:
    assert read("R-ABC").reference == "R-ABC"
    assert read("R-AB").reference is None


@pytest.mark.parametrize(
    "text", ["0002310001", "2310001", "00 0231 0001", "０００２３１０００１", "\u200e0002–310–001"]
)
def test_srn_is_found_without_its_zeros(text: str) -> None:
    assert read(text).srn == "0002310001"


@pytest.mark.parametrize(
    "text",
    [
        "0A:1B:2C",
        "0x0a1b2c",
        "serial=0A1B2C",
        "Serial Number:\n    0a:1b:2c",
        "0a1b2c",
        "662316 (0xA1B2C)",
        "0a 1b 2c",
        "\u200e0a1b2c",
    ],
)
def test_serial_number_is_read_in_openssls_spellings(text: str) -> None:
    assert read(text).serial == "a1b2c"


def test_digits_may_be_an_srn_or_a_serial_number() -> None:
    assert read("2310001") == Sought(srn="0002310001", serial="2310001")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.hk", "www.example.hk"),
        ("WWW.Example.HK.", "www.example.hk"),
        ("*.shop.example.hk", "shop.example.hk"),
        ("https://www.example.hk:8443/a/b?c=d#e", "www.example.hk"),
        ("商店.例子.香港", "xn--czrs0t.xn--fsqu00a.xn--j6w193g"),
    ],
)
def test_server_name_is_read_from_an_address_line_too(text: str, name: str) -> None:
    assert read(text).server_name == name


@pytest.mark.parametrize("text", ["localhost", "a b.example.hk", "..", "-", "例子", "user@example.hk", "％.香港"])
def test_text_that_is_no_server_name_is_not_searched_as_one(text: str) -> None:
    assert read(text).server_name is None


@pytest.mark.parametrize("text", ["RA 123 456 785 HK", "ra123456785hk", "RA–123–456–785–HK"])
def test_registered_number_is_read_with_the_posts_spaces(text: str) -> None:
    assert read(text).registered_number == "RA123456785HK"


def test_link_of_a_mail_is_read_as_its_renewal() -> None:
    assert read(f"https://portal.ecert.localhost:8443/en/renewals/{RENEWAL}").renewal_id == RENEWAL


@pytest.mark.parametrize("text", ["", "   ", "%", "_", "'; DROP TABLE items; --", "\ud800", "x" * 10_000, "\u200e"])
def test_other_text_finds_nothing(text: str) -> None:
    assert read(text) == Sought()

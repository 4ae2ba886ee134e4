"""The one rule for a subscriber's record: what it refuses, and that all it accepts can be used to the end."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.issuance.ca.profiles import check_organisation
from services.issuance.domain import Organisation
from services.mailing.domain import mail_address
from shared.validation.subscriber_record import (
    RecordRefused,
    check_address,
    check_email,
    check_name,
    check_place,
    check_subject,
    is_accepted,
)
from tests.unit.services.mailing.letter import a_letter
from tests.unit.services.mailing.test_letters import STATIONERY

REFUSED_TEXT = [
    *("", " ", "Example Ltd ", " Example Ltd", "Example  Ltd", "N/A", "n.a.", "N. A.", "-", "...", "None", "NULL"),
    *("不適用", "不适用", "無", "Internet Widgits Pty Ltd"),
    *("INTERNET WIDGITS PTY LTD.", "Default Company Ltd", "Ｎ／Ａ"),
    *("Chan &amp; Sons", "Chan &#38; Sons", "Chan &#x26; Sons", "A&nbsp;B"),
    *("Ex\u202eample", "Ex\u200bample", "Ex\u0085ample", "Ex\ufffdample", "Ex\ue000ample"),
    *("Ex\u00a0ample", "Ex\nample", "Ex\x00ample", "Ex\u2028ample", "Ex\u3000ample", "Ex\u00adample", "\ufeffExample"),
    *("Ex\ud800ample", "Ex\x7fample"),
]  # fmt: skip
ACCEPTED_NAMES = [
    "CHAN & SONS LIMITED",
    "AT&T; Co",
    "陳大文",
    "香港𨋢有限公司",
    "O’Brien (HK) Ltd.",
    "NA Logistics",
    "Test & Co",
]


@pytest.mark.parametrize("text", REFUSED_TEXT)
def test_text_without_a_value_or_with_invisible_characters_is_refused(text: str) -> None:
    for check in (check_name, check_place):
        with pytest.raises(RecordRefused, match="name:"):
            check("name", text)


@pytest.mark.parametrize("text", ACCEPTED_NAMES)
def test_usual_name_is_accepted(text: str) -> None:
    check_name("name", text)


@pytest.mark.parametrize(
    ("name", "country", "state", "locality", "field"),
    [
        ("Example Ltd", "UK", None, "London", "country"),
        ("Example Ltd", "ZZ", None, "Nowhere", "country"),
        ("Example Ltd", "hk", None, "Hong Kong", "country"),
        ("Example Ltd", "HKG", None, "Hong Kong", "country"),
        ("Example Ltd", "HK", None, None, "locality"),
        ("Example Ltd", "HK", None, "x" * 129, "locality"),
        ("Example Ltd", "HK", "N/A", "Hong Kong", "state_or_province"),
        ("x" * 65, "HK", None, "Hong Kong", "name"),
        ("สมชาย", "HK", None, "Hong Kong", "name"),
        ("陳\U00030000", "HK", None, "Hong Kong", "name"),
        ("Chan 😀", "HK", None, "Hong Kong", "name"),
    ],
)
def test_subject_that_no_certificate_can_have_is_refused(
    name: str, country: str, state: str | None, locality: str | None, field: str
) -> None:
    with pytest.raises(RecordRefused) as refused:
        check_subject(name, country, state, locality)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "email",
    ["", "a", "a@b", "chan@例子.hk",
     "陳@example.hk", "a@@example.hk", ".a@example.hk", "a.@example.hk", "a..b@example.hk",
     "a@-x.hk", "a@x-.hk", f"{'a' * 65}@example.hk", f"a@{'x' * 250}.hk", "a b@example.hk", "a@b.hk\nBcc: c@d.hk"],
)  # fmt: skip
def test_address_that_not_every_mail_server_takes_is_refused(email: str) -> None:
    with pytest.raises(RecordRefused):
        check_email("email", email)


@pytest.mark.parametrize(
    "lines",
    [(), ("x",) * 9, ("x" * 200,) * 8, ("陳" * 200,) * 2, ("陳" * 60,) * 6, ("W" * 60,), ("1 Road\u202e",), ("ถนน",)],
)
def test_address_that_does_not_fit_the_window_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(RecordRefused):
        check_address("CHAN Tai Man", "Example Limited", lines)


ALPHABET = st.sampled_from("MW@mi ,-/陳鴨𨋢ễŁ1")
TEXTS = st.text(ALPHABET, min_size=1, max_size=64)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    recipient=TEXTS,
    organisation=TEXTS,
    lines=st.lists(st.text(ALPHABET, min_size=30, max_size=120), min_size=1, max_size=8),
)
def test_every_accepted_record_is_typeset_and_certified(recipient: str, organisation: str, lines: list[str]) -> None:
    def check() -> None:
        check_name("name", recipient)
        check_subject(organisation, "HK", None, "Hong Kong")
        check_address(recipient, organisation, lines)

    if is_accepted(check):
        letter = a_letter(recipient_name=recipient, organisation=organisation, address=tuple(lines))
        assert STATIONERY.pdf(letter, date(2026, 11, 30))
        check_organisation(Organisation(name=organisation, country="HK", locality="Hong Kong"))


@pytest.mark.parametrize("character", "陳WmX")
@pytest.mark.parametrize("lines", range(1, 9))
def test_longest_accepted_address_is_typeset(character: str, lines: int) -> None:
    name = " ".join([character * 9] * 6)
    longest = 0
    for words in range(1, 20):
        address = (" ".join([character * 9] * words),) * lines
        if is_accepted(lambda address=address: check_address(name, name, address)):  # type: ignore[misc]
            longest = words
    assert longest, "an address of this many lines can be enrolled"
    address = (" ".join([character * 9] * longest),) * lines
    assert STATIONERY.pdf(a_letter(recipient_name=name, organisation=name, address=address), date(2026, 11, 30))


def test_accepted_email_is_one_that_mailing_takes() -> None:
    email = "Tai-Man.Chan+certs@mail.example.com.hk"
    check_email("email", email)
    assert mail_address(email) == email

"""Mails to an AR in three languages, and that nothing in them can be forged by a name."""

import email
import email.policy
import re
import uuid
from dataclasses import replace
from email.header import decode_header, make_header

import pytest
from jinja2 import UndefinedError

from services.mailing.domain import Template, mail_address, message_id, one_line
from services.mailing.refusals import AddressRefused
from shared.vocabulary import ItemId, Language
from tests.unit.services.mailing.mails import (
    CASES,
    COMPOSER,
    DATED,
    FOLDER,
    RENEWAL,
    a_mail,
    golden,
    read,
    rendered,
    seen,
)

each_case = pytest.mark.parametrize("case", CASES)
each_language = pytest.mark.parametrize("language", list(Language))


@each_language
@each_case
def test_mails_are_as_the_golden_files(case: str, language: Language) -> None:
    assert rendered(case, language) == golden(case, language).read_text("utf-8"), (
        "python -m tests.unit.services.mailing.mails"
    )


def test_every_mail_has_a_text_in_every_language_and_no_text_is_unused() -> None:
    assert {template for template, _ in CASES.values()} == {*Template}
    assert {path.name for path in FOLDER.iterdir()} == {golden(c, lang).name for c in CASES for lang in Language}


@each_language
@each_case
def test_text_says_all_that_the_html_says(case: str, language: Language) -> None:
    _, text, html = read(COMPOSER.compose(a_mail(case, language), DATED))
    title, *lines = seen(html)
    assert title
    said = "".join(text.split()).casefold()
    assert [line for line in lines if "".join(line.split()).casefold() not in said] == []


@each_language
@each_case
def test_text_lines_keep_their_breaks(case: str, language: Language) -> None:
    """Names and addresses have lines of their own, and an English line fits a screen of 80 columns."""
    _, text, _ = read(COMPOSER.compose(a_mail(case, language), DATED))
    lines = text.splitlines()
    names = {f"    {name}" for item in a_mail(case).content.get("items", []) for name in item["server_names"]}  # type: ignore[attr-defined]
    assert names <= {*lines}
    linked = not case.startswith(("reminder", "ecert"))
    assert (str(a_mail(case, language).content["link"]) in lines) is linked
    assert linked or "/renewals/" not in text
    assert not any(line.endswith(" ") for line in lines)
    assert "\n\n\n" not in text
    if language is Language.ENGLISH:
        assert max(map(len, lines)) < 80


def test_csr_request_has_the_english_title_in_every_language() -> None:
    title = "Submission of Certificate Signing Request (CSR)"
    subjects = {lang: read(COMPOSER.compose(a_mail(language=lang), DATED))[0]["Subject"] for lang in Language}
    assert subjects == {
        Language.ENGLISH: title,
        Language.TRADITIONAL_CHINESE: f"提交證書簽署要求（CSR） / {title}",
        Language.SIMPLIFIED_CHINESE: f"提交证书签名请求（CSR） / {title}",
    }


@each_language
def test_second_delivery_repeats_every_byte(language: Language) -> None:
    message = COMPOSER.compose(a_mail(language=language), DATED)
    assert message == COMPOSER.compose(a_mail(language=language), DATED)
    assert b"Date: Mon, 23 Nov 2026 01:30:00 +0000\r\n" in message
    assert f"Content-Language: {language}\r\n".encode() in message
    assert b"Auto-Submitted: auto-generated\r\n" in message


def test_message_id_depends_on_renewal_or_item_template_and_recipient_only() -> None:
    first = message_id(RENEWAL, Template.CSR_REQUEST, "a@example.hk", "ecert.localhost")
    assert first == message_id(RENEWAL, Template.CSR_REQUEST, "a@example.hk", "ecert.localhost")
    assert first != message_id(RENEWAL, Template.CSR_REQUEST, "b@example.hk", "ecert.localhost")
    assert first != message_id(RENEWAL, Template.RENEWAL_COMPLETED, "a@example.hk", "ecert.localhost")
    items = [ItemId(uuid.UUID(int=number)) for number in (1, 2)]
    one, two = (message_id(RENEWAL, Template.ITEM_REFUSED, "a@example.hk", "x.hk", item) for item in items)
    assert one != two


@pytest.mark.parametrize(
    "name", ["Eve\r\nBcc: all@example.hk", "Eve\nBcc: x@y.hk", "Eve\u2028Bcc: x", "Eve\x00\x85Bcc: x"]
)
def test_name_cannot_add_a_header(name: str) -> None:
    message, _, _ = read(COMPOSER.compose(a_mail(name=one_line(name)), DATED))
    assert message["Bcc"] is None
    assert len(message["To"].addresses) == 1
    with pytest.raises(ValueError, match=r"linefeed|invalid"):
        COMPOSER.compose(a_mail(name="Eve\r\nBcc: all@example.hk"), DATED)


@each_language
@each_case
def test_name_cannot_add_markup_or_placeholders(case: str, language: Language) -> None:
    evil = '<img src="https://evil.example/x"> %(amount)s {{ help }} %'
    message = COMPOSER.compose(a_mail(case, language, name=evil, subscriber=evil), DATED)
    _, text, html = read(message)
    assert "<img" not in html
    assert html.count("%(amount)s {{ help }} %") == 2
    assert "".join(text.split()).count("".join(evil.split())) == 2


def test_chinese_name_arrives_unchanged() -> None:
    message, text, html = read(COMPOSER.compose(a_mail(name="陳大文", subscriber="香港𨋢有限公司"), DATED))
    assert message["To"].addresses[0].display_name == "陳大文"
    assert "香港𨋢有限公司" in text
    assert "陳大文" in html


@pytest.mark.parametrize(
    "name",
    [
        "諸葛孔明" * 16,
        "諸 葛 孔 明 " * 16 + "x",
        "Bartholomew Montgomery-Featherstonehaugh of the Honourable Company 諸葛 孔明",
        "Ms Very Long Latin Name Indeed Wellington 諸葛 孔明",
        "é" * 64,
        "x" * 100 + "諸",
        "𠮷 " * 30 + "陳",
        '陳 "大文", Director (IT) <x@example.hk>',
    ],
)
def test_long_name_in_a_header_is_folded_and_keeps_its_blanks(name: str) -> None:
    raw = COMPOSER.compose(a_mail(language=Language.TRADITIONAL_CHINESE, name=name), DATED)
    head = raw.split(b"\r\n\r\n")[0].decode("ascii")
    assert max(map(len, re.findall(r"=\?\S+\?=", head))) <= 75
    assert max(map(len, head.split("\r\n"))) <= 78
    # The standard library's older reader, which has no part in writing it.
    plain = email.message_from_bytes(raw, policy=email.policy.compat32)
    written, address = plain["To"].rsplit(" ", 1)
    assert str(make_header(decode_header(written.rstrip()))) == name
    assert address == "<chan@example.hk>"


@each_case
def test_mail_with_missing_values_is_not_rendered(case: str) -> None:
    mail = a_mail(case)
    unused = {"refund"} if case == "completed" else {"link"} if case.startswith(("reminder", "ecert")) else set()
    for missing in mail.content.keys() - unused:
        with pytest.raises(UndefinedError):
            COMPOSER.compose(replace(mail, content={k: v for k, v in mail.content.items() if k != missing}), DATED)


@each_case
def test_mails_load_nothing_remote(case: str) -> None:
    _, _, html = read(COMPOSER.compose(a_mail(case), DATED))
    assert "src=" not in html
    assert "url(" not in html


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@b",
        "a@@example.hk",
        "a@b.hk\r\nBcc: c@example.hk",
        "a b@example.hk",
        "陳@example.hk",
        "<a@example.hk>",
    ],
)
def test_malformed_mail_address_is_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        mail_address(text)


def test_usual_mail_address_is_accepted_unchanged() -> None:
    assert mail_address("Tai-Man.Chan+certs@mail.example.com.hk") == "Tai-Man.Chan+certs@mail.example.com.hk"

"""Mails and letters in three languages: every text is there, in that language's own words."""

import re
from datetime import date

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from services.mailing.wording import CATALOGS, LOCALES, Wording, texts
from shared.i18n import catalog
from shared.vocabulary import Language
from tests.unit.services.mailing.mails import CASES, COMPOSER, DATED, a_mail, read

TRADITIONAL, SIMPLIFIED = Language.TRADITIONAL_CHINESE, Language.SIMPLIFIED_CHINESE
each_chinese = pytest.mark.parametrize("language", [TRADITIONAL, SIMPLIFIED])
# The same thing in Hong Kong and on the mainland. A conversion of characters would leave the left word, or its twin.
WORDS = [
    ("證書簽署要求", "证书签名请求", "证书签署要求"),
    ("伺服器", "服务器", "伺服"),
    ("電郵", "电子邮件", "电邮"),
    ("私人密碼匙", "私钥", "密码匙"),
    ("登入", "登录", "登入"),
    ("掛號郵件", "挂号信", "挂号邮件"),
    ("獲授權代表", "授权代表", "获授权"),
    ("郵政局", "邮局", "邮政局"),
    ("中繼證書", "中间证书", "中继"),
    ("字元", "字符", "字元"),
    ("查詢", "咨询", "查询"),
    ("編號", "编号", "編號"),
    ("現有證書", "当前证书", "现有证书"),
]


def _catalog(language: Language) -> Catalog:
    with catalog(CATALOGS, LOCALES[language]).open("rb") as file:
        return read_po(file, locale=LOCALES[language])


@each_chinese
def test_every_text_is_translated_and_no_translation_is_unused(language: Language) -> None:
    known = {str(m.id): str(m.string) for m in _catalog(language) if m.id and not m.fuzzy}
    assert {text for text in texts() if not known.get(text)} == set()
    assert known.keys() - texts() == set()


@each_chinese
def test_every_translation_has_the_same_placeholders(language: Language) -> None:
    for message in _catalog(language):
        values = re.findall(r"%\(\w+\)s", str(message.id))
        assert sorted(values) == sorted(re.findall(r"%\(\w+\)s", str(message.string))) or not message.id


@pytest.mark.parametrize(("hong_kong", "mainland", "converted"), WORDS)
def test_each_chinese_has_its_own_vocabulary(hong_kong: str, mainland: str, converted: str) -> None:
    traditional = "".join(str(m.string) for m in _catalog(TRADITIONAL) if m.id)
    simplified = "".join(str(m.string) for m in _catalog(SIMPLIFIED) if m.id)
    assert hong_kong in traditional
    assert mainland in simplified
    assert mainland not in traditional
    assert converted not in simplified


@each_chinese
@pytest.mark.parametrize("case", CASES)
def test_chinese_mail_has_no_english_but_names(case: str, language: Language) -> None:
    _, text, _ = read(COMPOSER.compose(a_mail(case, language, name="", subscriber=""), DATED))
    assert re.findall(r"\b(?:[Tt]he|[Yy]our|and|with|[Yy]ou|not|is|of|e-Cert|PIN)\b", text) == []


@pytest.mark.parametrize(
    ("language", "day", "money"),
    [
        (Language.ENGLISH, "3 December 2026", "HK$13,240.50"),
        (TRADITIONAL, "2026年12月3日", "HK$13,240.50"),
        (SIMPLIFIED, "2026年12月3日", "HK$13,240.50"),
    ],
)
def test_dates_and_amounts_have_their_usual_form(language: Language, day: str, money: str) -> None:
    assert Wording(language).day(date(2026, 12, 3)) == Wording(language).day("2026-12-03") == day
    assert Wording(language).money({"amount_minor": 1_324_050, "currency": "HKD"}) == money


def test_currency_without_cents_has_none() -> None:
    assert Wording(Language.ENGLISH).money({"amount_minor": 500, "currency": "JPY"}) == "JP¥500"


@each_chinese
def test_unknown_reason_has_a_general_text(language: Language) -> None:
    wording = Wording(language)
    assert wording.ending("of tomorrow") == wording.ending("withheld") != Wording(Language.ENGLISH).ending("withheld")
    assert wording.cause("of tomorrow") == wording.cause("lint") != Wording(Language.ENGLISH).cause("lint")

"""Every text is there in each language, in that language's own words."""

import re

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from portal import catalogs
from portal.languages import CATALOGS, SIMPLIFIED, TRADITIONAL, Language
from services.application.document import DECLARATIONS
from tests.unit.portal.stub_api import PORTAL, RENEWAL, full_api, portal, signed_in

CHINESE = [TRADITIONAL, SIMPLIFIED]
# What the one would say and the other never: a machine's conversion of characters would leave these.
HONG_KONG_ONLY = [
    "證書",
    "伺服器",
    "電郵",
    "檔案",
    "軟件",
    "登入",
    "登出",
    "上載",
    "匯入",
    "私人密碼匙",
    "證",
    "書",
    "網",
    "頁",
    "簽",
    "碼",
    "請",
    "為",
]
MAINLAND_ONLY = ["证书", "服务器", "电子邮件", "软件", "登录", "上传", "导入", "私钥", "页面", "签名", "码", "请", "为"]
# Words of Hong Kong that conversion would carry over, though the mainland says something else.
CONVERTED = [
    "伺服器",
    "伺服",
    "电邮",
    "档案",
    "上载",
    "登入",
    "登出",
    "汇入",
    "网上",
    "私人密码匙",
    "萤幕",
    "程式",
    "挂号邮件",
    "撤销",
    "获授权",
    "讯",
]


def _catalog(language: Language) -> Catalog:
    with (CATALOGS / language.locale / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language.locale)


@pytest.mark.parametrize("language", CHINESE, ids=lambda language: language.tag)
def test_every_text_is_translated_and_no_translation_is_left_over(language: Language) -> None:
    known = {str(m.id): str(m.string) for m in _catalog(language) if m.id and not m.fuzzy}
    assert {text for text in catalogs.texts() if not known.get(text)} == set()
    assert known.keys() - catalogs.texts() == set()


@pytest.mark.parametrize("language", CHINESE, ids=lambda language: language.tag)
def test_every_translation_puts_in_the_same_values(language: Language) -> None:
    for message in _catalog(language):
        values = re.findall(r"%\(\w+\)s", str(message.id))
        assert sorted(values) == sorted(re.findall(r"%\(\w+\)s", str(message.string))) or not message.id


def test_each_chinese_has_its_own_vocabulary() -> None:
    traditional = "".join(str(m.string) for m in _catalog(TRADITIONAL) if m.id)
    simplified = "".join(str(m.string) for m in _catalog(SIMPLIFIED) if m.id)
    assert [word for word in HONG_KONG_ONLY if word not in traditional or word in simplified] == []
    assert [word for word in MAINLAND_ONLY if word not in simplified or word in traditional] == []
    assert [word for word in CONVERTED if word in simplified] == []


def test_the_declarations_of_the_signed_document_are_translated() -> None:
    assert catalogs.DECLARATIONS == DECLARATIONS


@pytest.mark.parametrize("language", CHINESE, ids=lambda language: language.tag)
def test_pages_show_no_english_but_names(language: Language) -> None:
    client = signed_in(portal(full_api()), name="", organisation="")
    own = f"/{language.path}/renewals/{RENEWAL}"
    for path in (f"/{language.path}/", f"/{language.path}/certificates", own, f"{own}/check", f"{own}/payment"):
        page = client.get(path, base_url=PORTAL, follow_redirects=True).text
        text = re.sub(r"<(script|code|head).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
        assert re.findall(r"\b(?:the|your|and|with|you|not|is)\b", text) == []

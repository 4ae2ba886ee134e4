"""Every text is there in each language, in that language's own words."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from portal import catalogs
from portal.languages import CATALOGS, SIMPLIFIED, TRADITIONAL, Language
from services.application import terms as terms_module
from services.application.document import DECLARATIONS
from tests.unit.portal.page_states import State, states

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
def test_every_text_is_translated_and_no_translation_is_unused(language: Language) -> None:
    known = {str(m.id): str(m.string) for m in _catalog(language) if m.id and not m.fuzzy}
    assert {text for text in catalogs.texts() if not known.get(text)} == set()
    assert known.keys() - catalogs.texts() == set()


@pytest.mark.parametrize("language", CHINESE, ids=lambda language: language.tag)
def test_every_translation_has_the_same_placeholders(language: Language) -> None:
    for message in _catalog(language):
        values = re.findall(r"%\(\w+\)s", str(message.id))
        assert sorted(values) == sorted(re.findall(r"%\(\w+\)s", str(message.string))) or not message.id


def test_each_chinese_has_its_own_vocabulary() -> None:
    traditional = "".join(str(m.string) for m in _catalog(TRADITIONAL) if m.id)
    simplified = "".join(str(m.string) for m in _catalog(SIMPLIFIED) if m.id)
    assert [word for word in HONG_KONG_ONLY if word not in traditional or word in simplified] == []
    assert [word for word in MAINLAND_ONLY if word not in simplified or word in traditional] == []
    assert [word for word in CONVERTED if word in simplified] == []


def test_declarations_of_the_signed_document_are_translated() -> None:
    assert catalogs.DECLARATIONS == DECLARATIONS


# What is called the same in every language; all else that a page says is in its own.
NAMES = re.compile(
    r"Hongkong Post e-Cert|Certizen Limited|CHAN Mei Ling|Harbour Lights( Trading Limited)?|e-Cert (File USB|Token)"
    r"|Submission of Certificate Signing Request \(CSR\)|Apache (HTTP Server|Tomcat)|Microsoft IIS|Java keytool"
    r"|nginx -t && nginx -s reload|apachectl \w+( && apachectl \w+)?|modutil \S+ \S+ -add token -libfile MODULE"
    r"|[\w*.-]+\.(hk|com)\b"
)
HIDDEN = re.compile(r"<(script|style|pre|code|textarea|head)\b.*?</\1>|<[^>]+>", re.DOTALL)
ENGLISH = re.compile(r"[A-Za-z][a-z]+ [a-z]{2,}|\b(?:the|your|and|with|you|not|is|of|to|for)\b")


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_chinese_pages_have_no_english_text(state: State) -> None:
    for edition in ("zh-hant", "zh-hans/text"):
        page = state.show(edition).text.replace("<wbr>", "")
        text = NAMES.sub("", HIDDEN.sub("|", page))
        assert ENGLISH.findall(text) == []


def written(language: Language) -> str:
    """Return all that the portal says in a language, and the terms."""
    terms = Path(terms_module.__file__).parent / "published_terms"
    texts = [path.read_text("utf-8") for path in terms.glob(f"*/{language.tag}.txt")]
    assert texts
    return "".join([*(str(m.string) for m in _catalog(language) if m.id), *texts])


@pytest.mark.parametrize(
    ("language", "encoding"), [(SIMPLIFIED, "gb2312"), (TRADITIONAL, "big5hkscs")], ids=["zh-Hans", "zh-Hant"]
)
def test_each_chinese_is_written_in_its_own_characters(language: Language, encoding: str) -> None:
    """The old character sets of both places hold their own characters and lack most of the other's."""
    strange = [character for character in written(language) if "\u4e00" <= character <= "\u9fff"]
    assert [c for c in strange if not c.encode(encoding, "ignore")] == []


@pytest.mark.parametrize(
    ("hong_kong", "mainland"),
    [("證書", "证书"), ("伺服器", "服务器"), ("電郵", "电子邮件"), ("私人密碼匙", "私钥"), ("登入", "登录")],
)
def test_words_that_distinguish_the_two_scripts_are_used_correctly(hong_kong: str, mainland: str) -> None:
    traditional, simplified = written(TRADITIONAL), written(SIMPLIFIED)
    assert (hong_kong in traditional, mainland in simplified) == (True, True)
    assert (hong_kong in simplified, mainland in traditional) == (False, False)

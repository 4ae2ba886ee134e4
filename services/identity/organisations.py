"""Comparison of an e-Cert's organisation with the register, by content: the CA has moved its fields before."""

import unicodedata
from typing import Final

from cryptography import x509

from services.identity.certificates import organisation_names
from services.identity.domain import Subscriber

# Digits of a business registration number: seven on older papers.
_BRN_LENGTHS: Final = (7, 8)
# The first of each replaces the others. For Han characters only pairs of one meaning and sound, which Hong Kong's
# registers, input methods and fonts use side by side; the BRN must match as well, so no two organisations become equal.
_SAME: Final = (
    *("'‘’‛′`´", '"“”„″', "-‐‑‒–—―−", "·・‧•"),
    *("為爲", "衛衞", "裡裏", "眾衆", "群羣", "峰峯", "啟啓", "床牀", "線綫", "台臺", "說説", "稅税", "脫脱", "悅悦"),
    *("銳鋭", "閱閲", "溫温", "戶户戸", "錄録", "綠緑", "產産", "麵麪", "鉤鈎", "強强", "冊册", "吳吴", "黃黄", "奧奥"),
    *("晉晋", "真眞", "青靑", "清淸", "值値", "即卽", "既旣", "概槪", "鄰隣", "粧妝", "煙烟", "恆恒", "污汚汙", "敘叙"),
    *("廈厦", "廚厨", "秘祕", "艷豔", "雞鷄", "蔥葱", "豬猪", "貓猫", "鑑鑒", "鋪舖", "教敎", "彥彦", "顏顔", "內内"),
    *("別别", "沒没", "查査", "柏栢", "熏燻", "唇脣", "夠够", "匯滙", "鏽銹", "慎愼", "鎮鎭"),
)
_VARIANTS: Final = {ord(other): group[0] for group in _SAME for other in group[1:]}


def names(certificate: x509.Certificate, subscriber: Subscriber) -> bool:
    """Return whether the subject contains both the organisation's name and its business registration number."""
    values = organisation_names(certificate)
    wanted = {plain(name) for name in (subscriber.name, subscriber.name_zh) if name}
    return any(plain(value) in wanted for value in values) and any(is_number(value, subscriber.brn) for value in values)


def business_numbers(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return every number in the subject that could be a business registration number, without its padding."""
    found = set()
    for value in organisation_names(certificate):
        if value.isascii() and value.isdigit():
            found |= {value[:length] for length in _BRN_LENGTHS}
            found |= {value.lstrip("0").zfill(length) for length in _BRN_LENGTHS}
    return tuple(sorted(each for each in found if len(each) in _BRN_LENGTHS))


def plain(name: str) -> str:
    """Return the name without differences of keyboards and fonts: case, width, spacing, quotes, Han variants."""
    # Before and after NFKC, which turns an acute accent into two characters, and a compatibility ideograph into the
    # usual one.
    folded = unicodedata.normalize("NFKC", name.translate(_VARIANTS)).translate(_VARIANTS).casefold()
    return " ".join("".join(c for c in folded if unicodedata.category(c) != "Cf").split())


def is_number(value: str, brn: str) -> bool:
    """Return whether the value is the BRN, possibly padded with zeros on one side to the length of the CA's field."""
    if not (value.isascii() and value.isdigit()):
        return False
    return value.lstrip("0") == brn.lstrip("0") or (value.startswith(brn) and not value[len(brn) :].strip("0"))

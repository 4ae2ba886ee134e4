"""Records of subscribers and their Authorised Representatives: the rules for all fields.

An accepted value can be in a certificate (Baseline Requirements 7.1.2.7.4 and 7.1.4), in the header of an e-mail and on
a PIN Envelope, so that no paid renewal fails on a name or an address. The rules are applied when a record enters
(enrolment, import), again before payment (draft, attestation), and by the lint at the end.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from shared.errors import Refused
from shared.validation.printable import find_unprintable

MAX_NAME: Final = 64  # X.520: ub-organization-name
MAX_PLACE: Final = 128  # X.520: ub-state-name, ub-locality-name
MAX_EMAIL: Final = 254
MAX_ADDRESS_LINES: Final = 8
# Window of the PIN Envelope at its smallest type size (5.5 pt): lines, and the width of a line in em.
_WINDOW_LINES: Final = 12
_WINDOW_WIDTH: Final = 39.0
# Other (control, format, surrogate, private use, unassigned), and separators except the space.
_REFUSED_CATEGORIES: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
_ENTITY: Final = re.compile(r"&(#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
# Letters and digits only, in lower case: placeholders for a missing value.
_STAND_INS: Final = frozenset(
    "na none null nil unknown undefined tbc tbd tba test xxx notapplicable notavailable noname company mycompany "
    "notspecified notprovided notknown unspecified "
    "organisation organization somestate somecity default defaultcity defaultcompanyltd internetwidgitsptyltd "
    "mycompanynameltd yourcompany 不適用 不适用 無 无 沒有 没有 未知 不詳 不详 待定 暫無 暂无 "
    "未提供 無資料 无资料".split()
)
# ISO 3166-1 alpha-2, officially assigned.
_COUNTRIES: Final = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW".split()
)


class RecordRefused(Refused):
    """A field of a record cannot be used; the message names field and fault, never the value."""

    reason = "record-refused"

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field = field


def check_name(field: str, text: str) -> None:
    """Check the name of an organisation or a person. Raises RecordRefused."""
    _check_text(field, text, MAX_NAME)
    _check_value(field, text)
    _check_printable(field, text)


def check_place(field: str, text: str) -> None:
    """Check a locality, or a state or province. Raises RecordRefused."""
    _check_text(field, text, MAX_PLACE)
    _check_value(field, text)


def check_line(field: str, text: str) -> None:
    """Check a line for the CA's own records, which no certificate or letter contains. Raises RecordRefused."""
    _check_text(field, text, 200)
    _check_value(field, text)


def check_subject(name: str, country: str, state_or_province: str | None, locality: str | None) -> None:
    """Check the fields of a certificate's subject (BR 7.1.2.7.4). Raises RecordRefused."""
    check_name("name", name)
    if country not in _COUNTRIES:
        raise RecordRefused("country", "not an ISO 3166-1 code of two capital letters (the United Kingdom is GB)")
    places = {"state_or_province": state_or_province, "locality": locality}
    for field, place in places.items():
        if place is not None:
            check_place(field, place)
    if not any(places.values()):
        raise RecordRefused("locality", "a certificate needs a locality, or a state or province")


def check_email(field: str, text: str) -> None:
    """Check that every mail server accepts the e-mail address (ASCII, no quoting). Raises RecordRefused."""
    if len(text) > MAX_EMAIL or _EMAIL.fullmatch(text) is None or ".." in text or text[:1] == "." or ".@" in text:
        raise RecordRefused(field, "not an address that every mail server takes: ASCII, such as name@example.com.hk")
    if any(label[:1] == "-" or label[-1:] == "-" for label in text.rpartition("@")[2].split(".")):
        raise RecordRefused(field, "a part of its domain begins or ends with a hyphen")


def check_address(recipient: str, organisation: str, lines: Sequence[str]) -> None:
    """Check that a postal address fits the window of the PIN Envelope below both names. Raises RecordRefused."""
    if not 1 <= len(lines) <= MAX_ADDRESS_LINES:
        raise RecordRefused("address", f"it has 1 to {MAX_ADDRESS_LINES} lines")
    for line in lines:
        _check_text("address", line, 200)
        _check_printable("address", line)
    if sum(_window_lines(text) for text in (recipient, organisation, *lines)) > _WINDOW_LINES:
        raise RecordRefused("address", "it does not fit the window of the PIN Envelope: use fewer or shorter lines")


def is_accepted(check: Callable[[], None]) -> bool:
    """Return whether a check of this module passes."""
    try:
        check()
    except RecordRefused:
        return False
    return True


def _check_text(field: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest:
        raise RecordRefused(field, f"it has 1 to {longest} characters")
    for character in text:
        if character == "\ufffd" or (character != " " and unicodedata.category(character) in _REFUSED_CATEGORIES):
            raise RecordRefused(field, f"the character U+{ord(character):04X} is not allowed")
    if text != " ".join(text.split()):
        raise RecordRefused(field, "it begins or ends with a blank, or has two in a row")
    if _ENTITY.search(text):
        raise RecordRefused(field, "it has an HTML entity in it, such as &amp;")


def _check_value(field: str, text: str) -> None:
    plain = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
    if not plain or plain in _STAND_INS:
        raise RecordRefused(field, "it stands for a value, and is none")


def _check_printable(field: str, text: str) -> None:
    if (character := find_unprintable(text)) is not None:
        raise RecordRefused(field, f"the character U+{ord(character):04X} cannot be printed on a PIN Envelope")


def _window_lines(text: str) -> int:
    """Return the maximum number of lines of the text in the window, broken at blanks and between wide characters."""
    lines, used = 1, 0.0
    for word in re.findall(r"[^ ]+", text):
        pieces = [word] if all(map(_is_narrow, word)) else list(word)
        for piece in pieces:
            width = sum(map(_width, piece))
            if width > _WINDOW_WIDTH:
                return _WINDOW_LINES + 1
            if used + width > _WINDOW_WIDTH:
                lines, used = lines + 1, 0.0
            used += width
        used += _width(" ")
    return lines


def _is_narrow(character: str) -> bool:
    return unicodedata.east_asian_width(character) not in "WF"


def _width(character: str) -> float:
    """Return a character's width in em, rounded up to the widest of its kind in Noto Sans CJK."""
    if not _is_narrow(character) or unicodedata.east_asian_width(character) == "A" or character in "MWmw@%":
        return 1.0
    return 0.8 if character.isupper() else 0.62

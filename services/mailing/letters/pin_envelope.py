"""PIN Envelope as a PDF: one page from one template; the same letter gives the same bytes."""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import typst

from services.mailing.domain import Help, Letter, one_line
from services.mailing.refusals import EnvelopeUnusable
from services.mailing.wording import Wording
from shared.vocabulary import Language

_TEMPLATE: Final = Path(__file__).parent / "pin-envelope.typ"

# Noto Sans CJK, including its Hong Kong face, is part of this package.
DEFAULT_FONTS: Final = Path(str(files("noto_cjk_sans_otc")))

# For the post, so in both languages on every letter.
_RETURN_TO: Final = (
    "If undelivered, return to: Kowloon East P.O. Box 68777, Hong Kong",
    "如無法派遞，請退回：九龍東郵政信箱68777號",
)
_NO_ROOM: Final = "the address does not fit the window"
_UNDISPLAYED: Final = re.compile(r'the text `"(.+?)"` could not be displayed', re.DOTALL)
_FACES: Final = {Language.SIMPLIFIED_CHINESE: "Noto Sans CJK SC"}
_FACE: Final = "Noto Sans CJK HK"

# Layout of the server name's box, in points: its width, a character's share of the type size, the type sizes.
_NAME_WIDTH: Final = 335.0
_CHARACTER: Final = 0.602
_NAME_SIZES: Final = (6.0, 11.0)
_GROUP: Final = 4


@dataclass(frozen=True, kw_only=True)
class Stationery:
    """The parts that all letters share."""

    fonts: Path
    help: Help
    portal: str

    def pdf(self, letter: Letter, dated: date) -> bytes:
        """Return the letter as tagged PDF (PDF/UA-1). Raises EnvelopeUnusable."""
        return self._typeset(letter, dated, "pdf")[0]

    def pictures(self, letter: Letter, dated: date) -> list[bytes]:
        """Return the letter's pages as PNG, for inspection."""
        return self._typeset(letter, dated, "png")

    def _typeset(self, letter: Letter, dated: date, kind: Literal["pdf", "png"]) -> list[bytes]:
        try:
            output: bytes | list[bytes] = typst.compile(
                str(_TEMPLATE),
                font_paths=[str(self.fonts)],
                ignore_system_fonts=True,
                format=kind,
                sys_inputs={"letter": json.dumps(self._data(letter, dated))},
                pdf_standards=["ua-1"] if kind == "pdf" else [],
                # The letter's own date: printing it again after a crash gives the same file.
                timestamp=int(datetime.combine(dated, time(), UTC).timestamp()),
            )
        except typst.TypstError as error:
            # Without the cause: its text may quote the letter, and with it the PIN.
            raise EnvelopeUnusable(_objection(str(error), letter)) from None
        return output if isinstance(output, list) else [output]

    def _data(self, letter: Letter, dated: date) -> dict[str, object]:
        lines = [letter.recipient_name, letter.organisation, *letter.address]
        groups = _groups(letter.pin)
        wording = Wording(letter.language)
        language, _, script = letter.language.partition("-")
        return {
            "language": language,
            "region": "CN" if script == "Hans" else "HK",
            "face": _FACES.get(letter.language, _FACE),
            "words": self._words(wording, letter),
            "return_to": _RETURN_TO,
            "date": wording.day(dated),
            "envelope_number": str(letter.envelope_id)[-12:],
            "recipient": [one_line(line) for line in lines],
            "reference": one_line(letter.reference),
            "server_name": _name_lines(letter.server_name),
            "server_name_size": _name_size(letter.server_name),
            "pin_groups": groups,
            "pin_size": min(21.0, 340 / (_CHARACTER * len(letter.pin) + 0.5 * len(groups))),
        }

    def _words(self, wording: Wording, letter: Letter) -> dict[str, object]:
        _ = wording.text
        return {
            "sender": _("Hongkong Post Certification Authority"),
            "envelope": _("PIN Envelope"),
            "subtitle": _("e-Cert (Server) PIN Envelope"),
            "contact": [
                _("Kowloon East Post Office Box 68777"),
                _("Hong Kong"),
                _("Telephone %(telephone)s", telephone=self.help.telephone),
                self.help.email,
            ],
            "date": _("Date"),
            "number": _("Envelope"),
            "reader": _("For"),
            "representative": _("Authorised Representative only"),
            "title": _("Your PIN for one server name"),
            "greeting": _("Dear %(name)s,", name=one_line(letter.recipient_name)),
            "introduction": _(
                "You renewed an e-Cert (Server) certificate for %(organisation)s. This envelope holds the PIN of one "
                "server name. Every other server name of the renewal has a PIN Envelope of its own.",
                organisation=one_line(letter.organisation),
            ),
            "reference": _("Reference number"),
            "server_name": _("Server name"),
            "pin": _("PIN"),
            "reading": _(
                "Read the PIN from left to right, as one word of %(count)s characters; the shading only helps the eye.",
                count=len(letter.pin),
            ),
            "parts": self._parts(wording),
        }

    def _parts(self, wording: Wording) -> list[dict[str, object]]:
        _ = wording.text
        return [
            {
                "title": _("How to use it"),
                "steps": [
                    _(
                        "On the server, make a new key pair and a Certificate Signing Request (CSR) for the reference "
                        "number above."
                    ),
                    _(
                        "Sign in with your e-Cert (Organisational) and open your renewal at %(portal)s.",
                        portal=self.portal,
                    ),
                    _("Enter the reference number and the PIN of each of its server names, and submit the CSR."),
                ],
            },
            {
                "title": _("Keep it secret"),
                "text": _(
                    "This PIN can be used once, and only by the Authorised Representative after sign-in. After five "
                    "wrong tries it is locked. We never ask for a PIN by telephone or e-mail. If this envelope was "
                    "open or damaged when it reached you, do not use the PIN: call us."
                ),
            },
            {
                "title": _("Need help?"),
                "text": _(
                    "Telephone %(telephone)s, e-mail %(email)s. Please quote the reference number, never the PIN.",
                    telephone=self.help.telephone,
                    email=self.help.email,
                ),
            },
        ]


def _objection(error: str, letter: Letter) -> str:
    """Return why the letter cannot be typeset, with the character at fault and nothing else of its content."""
    if _NO_ROOM in error:
        return _NO_ROOM
    texts = (letter.recipient_name, letter.organisation, *letter.address, letter.reference, letter.server_name)
    known = {character for text in texts for character in text}
    if (found := _UNDISPLAYED.search(error)) and (named := [each for each in found[1] if each in known]):
        return f"no font has the character {named[0]} (U+{ord(named[0]):04X})"
    return "the letter cannot be typeset"


def _groups(pin: str) -> list[str]:
    """Return the PIN in groups, for legibility; a PIN with hyphens is grouped by them."""
    if "-" in pin:
        *heads, last = pin.split("-")
        return [f"{head}-" for head in heads] + [last]
    return [pin[start : start + _GROUP] for start in range(0, len(pin), _GROUP)]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _name_size(name: str) -> float:
    smallest, largest = _NAME_SIZES
    return max(smallest, min(largest, _NAME_WIDTH / (_CHARACTER * _width(name))))


def _name_lines(name: str) -> list[str]:
    """Return the name on one line if it fits; else on as few lines as hold it."""
    fits = int(_NAME_WIDTH / (_CHARACTER * _NAME_SIZES[0]))
    name = one_line(name)
    if _width(name) <= fits:
        return [name]
    per_line = fits if name.isascii() else fits // 2
    return [name[start : start + per_line] for start in range(0, len(name), per_line)]

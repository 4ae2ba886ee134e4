"""The PIN Envelope as a PDF for the printer: one page from one template, the same bytes for the same letter."""

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import typst

from services.mailing.domain import Help, Letter, one_line

_TEMPLATE: Final = Path(__file__).parent / "pin-envelope.typ"

# Noto Sans CJK, a face for Hong Kong among them, comes with this package.
DEFAULT_FONTS: Final = Path(str(files("noto_cjk_sans_otc")))

_SENDER: Final = {
    "name": "Hongkong Post Certification Authority",
    "address": ["Kowloon East Post Office Box 68777", "Hong Kong"],
    "return_address": "Kowloon East P.O. Box 68777, Hong Kong",
}

# What fits into the box of the server name, in points: its width, a character's share of the type size, the sizes.
_NAME_WIDTH: Final = 335.0
_CHARACTER: Final = 0.602
_NAME_SIZES: Final = (6.0, 11.0)
_GROUP: Final = 4


@dataclass(frozen=True, kw_only=True)
class Stationery:
    """What is the same on every letter."""

    fonts: Path
    help: Help
    portal: str

    def pdf(self, letter: Letter, dated: date) -> bytes:
        """The letter as tagged PDF (PDF/UA-1)."""
        return self._typeset(letter, dated, "pdf")[0]

    def pictures(self, letter: Letter, dated: date) -> list[bytes]:
        """The letter's pages as PNG, for people who want to see what the printer will print."""
        return self._typeset(letter, dated, "png")

    def _typeset(self, letter: Letter, dated: date, kind: Literal["pdf", "png"]) -> list[bytes]:
        output: bytes | list[bytes] = typst.compile(
            str(_TEMPLATE),
            font_paths=[str(self.fonts)],
            ignore_system_fonts=True,
            format=kind,
            sys_inputs={"letter": json.dumps(self._data(letter, dated))},
            pdf_standards=["ua-1"] if kind == "pdf" else [],
            # The letter's own date: printing it again after a crash makes the same file.
            timestamp=int(datetime.combine(dated, time(), UTC).timestamp()),
        )
        return output if isinstance(output, list) else [output]

    def _data(self, letter: Letter, dated: date) -> dict[str, object]:
        lines = [letter.recipient_name, letter.organisation, *letter.address]
        groups = _groups(letter.pin)
        return {
            "sender": _SENDER,
            "help": {"telephone": self.help.telephone, "email": self.help.email},
            "portal": self.portal,
            "date": f"{dated.day} {dated:%B %Y}",
            "envelope_number": str(letter.envelope_id)[-12:],
            "recipient": {"name": one_line(letter.recipient_name), "lines": [one_line(line) for line in lines]},
            "organisation": one_line(letter.organisation),
            "reference": one_line(letter.reference),
            "server_name": _name_lines(letter.server_name),
            "server_name_size": _name_size(letter.server_name),
            "pin_groups": groups,
            "pin_length": len(letter.pin),
            "pin_size": min(21.0, 340 / (_CHARACTER * len(letter.pin) + 0.5 * len(groups))),
        }


def _groups(pin: str) -> list[str]:
    """The PIN in groups for the eye; a PIN that has hyphens of its own is grouped by them."""
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
    """The name on one line, as nearly every name can be set; else on as few as hold it."""
    fits = int(_NAME_WIDTH / (_CHARACTER * _NAME_SIZES[0]))
    name = one_line(name)
    if _width(name) <= fits:
        return [name]
    per_line = fits if name.isascii() else fits // 2
    return [name[start : start + per_line] for start in range(0, len(name), per_line)]

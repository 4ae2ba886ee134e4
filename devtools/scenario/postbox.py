"""The AR's letter box: reads printed PIN Envelopes as a person does."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pypdf import PdfReader

# Labels in the AR's language.
_FIELDS: Final = re.compile(
    r"(Reference number|參考編號|参考编号) (?P<reference>\S+)\n"
    r".*?(Server name|伺服器名稱|服务器名称) (?P<server_name>\S+)\n"
    r".*?(PIN|密碼|密码) (?P<pin>[^\n]+)\n",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """Content of a PIN Envelope."""

    reference: str
    server_name: str
    pin: str
    file: Path


@dataclass(kw_only=True)
class Postbox:
    """The folder into which the print process writes its batches."""

    folder: Path
    _opened: dict[Path, Letter] = field(default_factory=dict)

    def letters(self, references: set[str]) -> list[Letter]:
        """Return the letters for these reference numbers that have arrived."""
        for file in self.folder.glob("batch-*/*.pdf"):
            if file not in self._opened:
                self._opened[file] = read_letter(file)
        return [letter for letter in list(self._opened.values()) if letter.reference in references]


def read_letter(file: Path) -> Letter:
    """Read a letter. Raises ValueError for another kind of page."""
    text = PdfReader(file).pages[0].extract_text()
    match = _FIELDS.search(text)
    if match is None:
        raise ValueError(f"{file.name} is no PIN Envelope")
    return Letter(file=file, **match.groupdict())

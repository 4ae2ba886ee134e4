"""PEM in all its variants, as people send it: one reader for CSRs, certificates, keys and signatures.

The input is DER, bare Base64, or text that contains armoured blocks: with openssl's listing above, quoted by a mail
program, with other dashes, without the last line. The content of a block is validated elsewhere.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from shared.validation import texts

CERTIFICATE_LABELS: Final = ("CERTIFICATE", "X509 CERTIFICATE")
_BEGIN: Final = re.compile(r"(?<!-)-{2,20} {0,4}BEGIN ([A-Z0-9][A-Z0-9 #]{0,39}?) {0,4}-{2,20}", re.IGNORECASE)
_END: Final = re.compile(r"(?<!-)-{2,20} {0,4}END ", re.IGNORECASE)
_QUOTE: Final = re.compile(r"^[>|\s]+", re.MULTILINE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,40}:")
# A SEQUENCE of 128 bytes or more: its second byte occurs in no text.
_LARGE_SEQUENCE: Final = re.compile(rb"\x30[\x81-\x84]")
# Shorter runs of such characters are words.
_MIN_BARE_LENGTH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block. `label` is in capitals, empty without armour; `der` is None if the body is not Base64."""

    label: str
    der: bytes | None

    @property
    def is_private_key(self) -> bool:
        """Whether the label is that of a private key."""
        return "PRIVATE KEY" in self.label


def is_der(raw: bytes) -> bool:
    """Return whether these bytes are binary, judging by their beginning."""
    return _LARGE_SEQUENCE.match(raw) is not None


def blocks(sent: bytes | str) -> list[Block]:
    """Return all blocks of the input, in order."""
    if isinstance(sent, bytes):
        if is_der(sent):
            return [Block(label="", der=sent)]
        sent = texts.decode(sent, "replace")
    text = texts.visible(sent)
    if "\n" not in text.strip():
        text = text.replace("\\n", "\n").replace("\\r", "")  # from a JSON or settings file
    text = _QUOTE.sub("", text)
    begins = list(_BEGIN.finditer(text))
    if not begins:
        return _bare(text)
    ends = [begin.start() for begin in begins[1:]] + [len(text)]
    return [_block(begin, text[begin.end() : end]) for begin, end in zip(begins, ends, strict=True)]


def first(sent: bytes | str, *labels: str) -> bytes | None:
    """Return the DER of the first block with one of these labels, or without armour."""
    return next((b.der for b in blocks(sent) if b.der is not None and (not b.label or b.label in labels)), None)


def armoured(der: bytes, label: str) -> str:
    """Return the DER in armour (RFC 7468)."""
    body = base64.b64encode(der).decode()
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def _bare(text: str) -> list[Block]:
    body = "".join(text.split())
    der = _decoded(body) if len(body) >= _MIN_BARE_LENGTH else None
    return [Block(label="", der=der)] if der is not None and is_der(der) else []


def _block(begin: re.Match[str], rest: str) -> Block:
    label = " ".join(begin[1].upper().split())
    end = _END.search(rest)
    lines = [line for line in (rest if end is None else rest[: end.start()]).split("\n") if line.strip()]
    while lines and _HEADER.match(lines[0]):  # RFC 1421, as in "DEK-Info: AES-256-CBC,…"
        lines.pop(0)
    lines = ["".join(line.split()) for line in lines]
    return Block(label=label, der=_decoded("".join(lines if end is not None else _until_short(lines))))


def _until_short(lines: list[str]) -> list[str]:
    """Return the lines of a body without a last line: lines of one length, then a shorter one."""
    for number, line in enumerate(lines):
        if not _BASE64.fullmatch(line):
            return lines[:number]
        if len(line) < len(lines[0]):
            return lines[: number + 1]
    return lines


def _decoded(body: str) -> bytes | None:
    if not _BASE64.fullmatch(body):
        return None
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None

"""Names in an e-Cert's subject, in all encodings that CAs have used.

A string's type determines its characters, and CAs have put others in: Latin-1 or Big5 into a T61String, or Big5 into a
UTF8String. Such a value is decoded in every encoding that fits, because the right one is unknown; readers compare with
each. A library that refuses the whole certificate for it does not parse these values.
"""

from collections.abc import Iterator
from typing import Final

from cryptography import x509

from services.identity import der
from shared.pki.certificates import UNREADABLE

# serialNumber, signature, issuer, validity, subject; preceded by a version, if there is one.
_POSITION: Final = 4
_VERSION: Final = 0xA0
_PRINTABLE: Final = 0x13
_BMP: Final = 0x1E
_UNIVERSAL: Final = 0x1C
# UTF8String, NumericString, PrintableString, T61String, IA5String, VisibleString.
_OF_OCTETS: Final = frozenset({0x0C, 0x12, _PRINTABLE, 0x14, 0x16, 0x1A})
_PRINTABLE_CHARACTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
# Hong Kong's Big5 first; a value that fits it by chance is also read as Latin-1.
_FALLBACKS: Final = ("big5hkscs", "cp1252")
COMMON_NAME: Final = b"\x55\x04\x03"
ORGANISATION: Final = b"\x55\x04\x0a"
UNIT: Final = b"\x55\x04\x0b"


def values(certificate: x509.Certificate, *kinds: bytes) -> tuple[str, ...]:
    """Return the subject's values of these kinds, in every decoding that fits. Raises NotDER."""
    return tuple(
        text
        for wanted in kinds
        for kind, tag, contents in _attributes(certificate.tbs_certificate_bytes)
        if kind == wanted
        for text in _readings(tag, contents)
    )


def describe(certificate: x509.Certificate) -> str:
    """Return the whole subject for people, in RFC 4514 form if its values match their types."""
    try:
        return certificate.subject.rfc4514_string()
    except UNREADABLE:
        found = _attributes(certificate.tbs_certificate_bytes)
        return ",".join(next(iter(_readings(tag, contents)), "?") for _, tag, contents in reversed([*found]))


def has_wrong_characters(certificate: bytes) -> bool:
    """Return whether a value of the subject has characters that its type does not allow, such as & in a
    PrintableString.

    The library may refuse to parse `certificate` for this reason. Raises NotDER.
    """
    tbs = next(der.elements(der.contents_of(certificate)), b"")
    return any(not _fits(tag, contents) for _, tag, contents in _attributes(tbs))


def _attributes(tbs: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield kind, tag and contents of each attribute of the subject, in order. Raises NotDER."""
    fields = [each for each in der.elements(der.contents_of(tbs)) if each[0] != _VERSION]
    subject = fields[_POSITION] if len(fields) > _POSITION else b"\x30\x00"
    for rdn in der.elements(der.contents_of(subject)):
        for attribute in der.elements(der.contents_of(rdn)):
            parts = list(der.elements(der.contents_of(attribute)))
            if len(parts) == 2:
                yield der.contents_of(parts[0]), parts[1][0], der.contents_of(parts[1])


def _readings(tag: int, contents: bytes) -> tuple[str, ...]:
    if tag in (_BMP, _UNIVERSAL):
        encodings: tuple[str, ...] = ("utf-16-be" if tag == _BMP else "utf-32-be",)
    elif tag in _OF_OCTETS:
        encodings = ("utf-8",) if _decodes(contents, "utf-8") else _FALLBACKS
    else:
        encodings = ()
    return tuple(contents.decode(encoding) for encoding in encodings if _decodes(contents, encoding))


def _fits(tag: int, contents: bytes) -> bool:
    if tag == _PRINTABLE:
        return _PRINTABLE_CHARACTERS.issuperset(contents)
    return tag not in _OF_OCTETS | {_BMP, _UNIVERSAL} or bool(_readings(tag, contents))


def _decodes(contents: bytes, encoding: str) -> bool:
    try:
        contents.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True

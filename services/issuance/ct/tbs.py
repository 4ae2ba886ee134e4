"""To-be-signed bytes of the precertificate and of the certificate: equal but for one extension (RFC 6962, 3.1).

Extensions are moved as bytes, never encoded again.
"""

from typing import Final

from services.issuance import der

# The first field of the extension: its OID, 1.3.6.1.4.1.11129.2.4.3 and .2.
POISON: Final = bytes.fromhex("060a2b06010401d679020403")
SCT_LIST: Final = bytes.fromhex("060a2b06010401d679020402")
_OCTET_STRING, _OID, _SEQUENCE, _EXTENSIONS = 0x04, 0x06, 0x30, 0xA3
_TRUE: Final = bytes.fromhex("0101ff")
_NULL: Final = bytes.fromhex("0500")
_POISON_EXTENSION: Final = der.element(_SEQUENCE, POISON + _TRUE + der.element(_OCTET_STRING, _NULL))


class PairDiffers(Exception):
    """Precertificate and certificate differ in more than poison and SCT list: the certificate is not signed."""


class NotSuchTBS(ValueError):
    """Bytes without the expected extension, or that are no TBSCertificate in DER."""


def precertificate(tbs: bytes) -> bytes:
    """Return the bytes with the critical poison as the last extension. Raises NotSuchTBS if they have one, or SCTs."""
    head, extensions = _split(tbs)
    if any(_oid(each) in (POISON, SCT_LIST) for each in extensions):
        raise NotSuchTBS("already with a poison or SCTs")
    return _join(head, [*extensions, _POISON_EXTENSION])


def is_precertificate(tbs: bytes) -> bool:
    """Return whether the bytes have the poison. Raises NotSuchTBS."""
    return any(_oid(each) == POISON for each in _split(tbs)[1])


def certificate(precertificate_tbs: bytes, sct_list: bytes) -> bytes:
    """Return the certificate's bytes: the SCT list at the place of the poison. Raises NotSuchTBS."""
    head, extensions = _split(precertificate_tbs)
    place = _place(extensions, POISON)
    return _join(head, [*extensions[:place], _sct_extension(sct_list), *extensions[place + 1 :]])


def precertificate_of(certificate_tbs: bytes) -> bytes:
    """Return the bytes of the precertificate of a certificate: the inverse of `certificate`. Raises NotSuchTBS."""
    head, extensions = _split(certificate_tbs)
    place = _place(extensions, SCT_LIST)
    return _join(head, [*extensions[:place], _POISON_EXTENSION, *extensions[place + 1 :]])


def without_poison(precertificate_tbs: bytes) -> bytes:
    """Return the bytes without the poison: what logs sign. Raises NotSuchTBS."""
    return _without(precertificate_tbs, POISON)


def sct_list_of(certificate_tbs: bytes) -> bytes:
    """Return the SignedCertificateTimestampList of a certificate. Raises NotSuchTBS."""
    _, extensions = _split(certificate_tbs)
    try:
        _, *critical, value = der.elements(der.content(extensions[_place(extensions, SCT_LIST)], _SEQUENCE))
        if critical not in ([], [_TRUE]):
            raise NotSuchTBS("an extension with other fields")
        return der.content(der.content(value, _OCTET_STRING), _OCTET_STRING)
    except ValueError as error:
        raise NotSuchTBS(str(error)) from error


def check_pair(precertificate_tbs: bytes, certificate_tbs: bytes) -> None:
    """Compare precertificate minus poison with certificate minus SCT list, byte for byte.

    Raises PairDiffers, or NotSuchTBS if one of them has not exactly one poison or SCT list.
    """
    if _without(precertificate_tbs, POISON) != _without(certificate_tbs, SCT_LIST):
        raise PairDiffers


def _without(tbs: bytes, oid: bytes) -> bytes:
    head, extensions = _split(tbs)
    place = _place(extensions, oid)
    return _join(head, [*extensions[:place], *extensions[place + 1 :]])


def _place(extensions: list[bytes], oid: bytes) -> int:
    places = [place for place, each in enumerate(extensions) if _oid(each) == oid]
    if len(places) != 1:
        raise NotSuchTBS(f"{len(places)} extensions with the OID {oid.hex()}")
    return places[0]


def _sct_extension(sct_list: bytes) -> bytes:
    value = der.element(_OCTET_STRING, der.element(_OCTET_STRING, sct_list))
    return der.element(_SEQUENCE, SCT_LIST + value)


def _split(tbs: bytes) -> tuple[bytes, list[bytes]]:
    """Return everything before the extensions, and the extensions, as bytes. Raises NotSuchTBS."""
    try:
        *head, tail = der.elements(der.content(tbs, _SEQUENCE)) or [b""]
        extensions = der.elements(der.content(der.content(tail, _EXTENSIONS), _SEQUENCE))
        for each in extensions:
            _oid(each)
    except der.NotDER as error:
        raise NotSuchTBS(str(error)) from error
    return b"".join(head), extensions


def _oid(extension: bytes) -> bytes:
    """Return the first field of an extension. Raises NotDER."""
    oid, *_ = der.elements(der.content(extension, _SEQUENCE)) or [b""]
    der.content(oid, _OID)
    return oid


def _join(head: bytes, extensions: list[bytes]) -> bytes:
    return der.element(_SEQUENCE, head + der.element(_EXTENSIONS, der.element(_SEQUENCE, b"".join(extensions))))

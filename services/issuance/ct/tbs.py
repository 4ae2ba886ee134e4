"""To-be-signed bytes of the precertificate and of the certificate: equal but for one extension (RFC 6962, 3.1).

Extensions are moved as bytes, never encoded again.
"""

from typing import Final

from asn1crypto import core
from asn1crypto import x509 as asn1_x509

POISON: Final = "1.3.6.1.4.1.11129.2.4.3"
SCT_LIST: Final = "1.3.6.1.4.1.11129.2.4.2"


class PairDiffers(Exception):
    """Precertificate and certificate differ in more than poison and SCT list: the certificate is not signed."""


class NotSuchTBS(ValueError):
    """Bytes without the expected extension, or that are no TBSCertificate in DER."""


def precertificate(tbs: bytes) -> bytes:
    """Return the bytes with the critical poison as the last extension. Raises NotSuchTBS if they have one, or SCTs."""
    head, extensions = _split(tbs)
    if any(_oid(each) in (POISON, SCT_LIST) for each in extensions):
        raise NotSuchTBS("already with a poison or SCTs")
    return _join(head, [*extensions, _poison()])


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
    return _join(head, [*extensions[:place], _poison(), *extensions[place + 1 :]])


def without_poison(precertificate_tbs: bytes) -> bytes:
    """Return the bytes without the poison: what logs sign. Raises NotSuchTBS."""
    return _without(precertificate_tbs, POISON)


def sct_list_of(certificate_tbs: bytes) -> bytes:
    """Return the SignedCertificateTimestampList of a certificate. Raises NotSuchTBS."""
    _, extensions = _split(certificate_tbs)
    outer = asn1_x509.Extension.load(extensions[_place(extensions, SCT_LIST)])["extn_value"]
    try:
        return bytes(core.OctetString.load(outer.contents, strict=True).native)
    except ValueError as error:
        raise NotSuchTBS(str(error)) from error


def check_pair(precertificate_tbs: bytes, certificate_tbs: bytes) -> None:
    """Compare precertificate minus poison with certificate minus SCT list, byte for byte. Raises PairDiffers."""
    if _without(precertificate_tbs, POISON) != _without(certificate_tbs, SCT_LIST):
        raise PairDiffers


def _without(tbs: bytes, oid: str) -> bytes:
    head, extensions = _split(tbs)
    place = _place(extensions, oid)
    return _join(head, [*extensions[:place], *extensions[place + 1 :]])


def _place(extensions: list[bytes], oid: str) -> int:
    places = [place for place, each in enumerate(extensions) if _oid(each) == oid]
    if len(places) != 1:
        raise NotSuchTBS(f"{len(places)} extensions {oid}")
    return places[0]


def _oid(extension: bytes) -> str:
    return str(asn1_x509.Extension.load(extension)["extn_id"].dotted)


def _poison() -> bytes:
    value = core.ParsableOctetString(core.Null().dump())
    return bytes(asn1_x509.Extension({"extn_id": POISON, "critical": True, "extn_value": value}).dump())


def _sct_extension(sct_list: bytes) -> bytes:
    value = core.ParsableOctetString(core.OctetString(sct_list).dump())
    return bytes(asn1_x509.Extension({"extn_id": SCT_LIST, "extn_value": value}).dump())


def _split(tbs: bytes) -> tuple[bytes, list[bytes]]:
    """Return everything before the extensions, and the extensions, as bytes. Raises NotSuchTBS."""
    try:
        parsed = asn1_x509.TbsCertificate.load(tbs, strict=True)
        extensions = [bytes(each.dump()) for each in parsed["extensions"]]
        tail = _explicit(extensions)
    except (ValueError, TypeError) as error:
        raise NotSuchTBS(str(error)) from error
    if not parsed.contents.endswith(tail):
        raise NotSuchTBS("the extensions are not the last field, or not in DER")
    head = parsed.contents[: -len(tail)]
    if _join(head, extensions) != tbs:
        raise NotSuchTBS("not in DER")
    return head, extensions


def _join(head: bytes, extensions: list[bytes]) -> bytes:
    return _tagged(0x30, head + _explicit(extensions))


def _explicit(extensions: list[bytes]) -> bytes:
    return _tagged(0xA3, _tagged(0x30, b"".join(extensions)))


def _tagged(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content

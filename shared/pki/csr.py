"""PKCS#10 requests: text in, one checked frozen value out. Nothing of it but the key reaches a certificate."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final, NoReturn

from asn1crypto import csr as asn1_csr
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from shared.errors import Refused
from shared.pki.keys import KeyFault, KeyRefused, checked_key
from shared.pki.names import NameRefused, certificate_names, server_name

MAX_BYTES: Final = 32 * 1024
_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----(?P<body>.*?)-----END (?P=label)-----", re.DOTALL)
_BEGIN = re.compile(r"-----\s*BEGIN", re.IGNORECASE)
_PRIVATE = re.compile(r"-----\s*BEGIN[A-Z0-9 ]{0,30}PRIVATE KEY", re.IGNORECASE)
_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


class CSRFault(StrEnum):
    """Why a CSR cannot be used, besides its key and its names; stable, a subscriber acts on it."""

    TOO_LARGE = "csr-too-large"
    NOT_A_CSR = "csr-not-a-csr"
    SEVERAL_BLOCKS = "csr-several-pem-blocks"
    OTHER_TEXT = "csr-text-around-it"
    PRIVATE_KEY = "csr-private-key-pasted"
    TRAILING_BYTES = "csr-trailing-bytes"
    VERSION = "csr-version-not-0"
    MALFORMED = "csr-malformed"
    SIGNATURE = "csr-signature-invalid"
    NAME_TYPES = "csr-names-not-dns"
    NAMES_DIFFER = "csr-names-differ"


class CSRRefused(Refused):
    """The CSR cannot be used; the subscriber makes another one."""

    def __init__(self, fault: CSRFault, detail: str = "") -> None:
        super().__init__(detail or fault.value)
        self.reason = fault.value
        self.extensions: dict[str, object] = {"reason": fault.value}


class PrivateKeyPasted(CSRRefused):
    """A private key was in the text: it is compromised. `spki_sha256` are the keys to block for ever."""

    def __init__(self, spki_sha256: frozenset[bytes]) -> None:
        super().__init__(CSRFault.PRIVATE_KEY, "the text holds a private key, which is now compromised")
        self.spki_sha256 = spki_sha256


class NamesDiffer(CSRRefused):
    """The CSR asks for other names than were paid for."""

    def __init__(self, *, surplus: Iterable[str], missing: Iterable[str]) -> None:
        self.surplus = tuple(sorted(surplus))
        self.missing = tuple(sorted(missing))
        super().__init__(
            CSRFault.NAMES_DIFFER,
            f"not in the order: {', '.join(self.surplus) or '-'}; not in the CSR: {', '.join(self.missing) or '-'}",
        )
        self.extensions |= {"surplus": list(self.surplus), "missing": list(self.missing)}


@dataclass(frozen=True, kw_only=True)
class CSR:
    """A request whose key is allowed and whose sender has proved to hold it.

    `subject` (RFC 4514) and `signature_algorithm` (such as "rsa-pkcs1v15-sha256") are for people to look at.
    """

    der: bytes
    spki: bytes
    key_kind: str
    subject: str
    signature_algorithm: str
    common_names: tuple[str, ...]
    dns_names: tuple[str, ...]

    @property
    def sha256(self) -> bytes:
        """The digest of the whole request."""
        return sha256(self.der).digest()

    @property
    def spki_sha256(self) -> bytes:
        """The digest of the public key, by which keys are compared and blocked."""
        return sha256(self.spki).digest()


def read(text: str) -> CSR:
    """The one CSR in this text, in PEM. Raises CSRRefused, PrivateKeyPasted or KeyRefused."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise CSRRefused(CSRFault.TOO_LARGE)
    if _PRIVATE.search(text):
        raise PrivateKeyPasted(frozenset(_pasted_keys(text)))
    if len(_BEGIN.findall(text)) > 1:
        raise CSRRefused(CSRFault.SEVERAL_BLOCKS)
    block = _BLOCK.search(text)
    if block is None or block["label"] not in _LABELS:
        raise CSRRefused(CSRFault.NOT_A_CSR)
    if (text[: block.start()] + text[block.end() :]).strip():
        raise CSRRefused(CSRFault.OTHER_TEXT)
    return read_der(_unarmoured(block["body"]))


def read_der(der: bytes) -> CSR:
    """The CSR in exactly these bytes. Raises CSRRefused, PrivateKeyPasted or KeyRefused."""
    if len(der) > MAX_BYTES:
        raise CSRRefused(CSRFault.TOO_LARGE)
    request, spki = _parse(der)
    key_kind = checked_key(spki)  # before the signature: a huge modulus would make that slow
    _check_possession(request)
    common_names, dns_names = _names(request)
    return CSR(
        der=der,
        spki=spki,
        key_kind=key_kind,
        subject=request.subject.rfc4514_string(),
        signature_algorithm=_signature_algorithm(request),
        common_names=common_names,
        dns_names=dns_names,
    )


def check_names(csr: CSR, server_names: Iterable[str]) -> None:
    """The CSR asks for the paid names or for none: a subscriber who asks for others shall know before they install.

    A wildcard's implied base name may be in it or not. Raises NamesDiffer or NameRefused.
    """
    paid = set(server_names)
    allowed = set(certificate_names(paid))
    asked = {_comparable(name) for name in csr.dns_names}
    common = {_comparable(name) for name in csr.common_names}
    surplus = (asked | common) - allowed
    missing = paid - asked if asked else set()
    if surplus or missing:
        raise NamesDiffer(surplus=surplus, missing=missing)


def _comparable(name: str) -> str:
    try:
        return server_name(name)
    except NameRefused:
        return name.lower()[:253]  # such a name is in no order: it shows up as surplus, as written


def _unarmoured(body: str) -> bytes:
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CSRRefused(CSRFault.NOT_A_CSR) from error


def _parse(der: bytes) -> tuple[x509.CertificateSigningRequest, bytes]:
    """Both parsers must agree that these bytes are one request. asn1crypto gives the key's own bytes."""
    try:
        outer = asn1_csr.CertificationRequest.load(der, strict=True)
        info = outer["certification_request_info"]
        version = info["version"].native
        spki = bytes(info["subject_pk_info"].dump())
        whole_bytes = outer["signature"].contents[:1] == b"\x00"
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        trailing = "trailing" in str(error)
        raise CSRRefused(CSRFault.TRAILING_BYTES if trailing else CSRFault.NOT_A_CSR) from error
    if not whole_bytes:  # OpenSSL overlooks unused bits at a signature's end
        raise CSRRefused(CSRFault.SIGNATURE)
    if version != "v1":
        raise CSRRefused(CSRFault.VERSION)
    try:
        request = x509.load_der_x509_csr(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CSRRefused(CSRFault.NOT_A_CSR) from error
    return request, spki


def _check_possession(request: x509.CertificateSigningRequest) -> None:
    try:
        valid = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        _malformed(error)
    if not valid:  # also for SHA-1 and MD5
        raise CSRRefused(CSRFault.SIGNATURE)


def _signature_algorithm(request: x509.CertificateSigningRequest) -> str:
    """Of a signature that was verified, so both are there."""
    assert request.signature_hash_algorithm is not None
    match request.signature_algorithm_parameters:
        case padding.PSS():
            scheme = "rsa-pss"
        case ec.ECDSA():
            scheme = "ecdsa"
        case _:
            scheme = "rsa-pkcs1v15"
    return f"{scheme}-{request.signature_hash_algorithm.name}"


def _names(request: x509.CertificateSigningRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Everything lazily parsed is touched here, so that nothing malformed fails later."""
    try:
        attributes = list(request.attributes)
        subject = request.subject
        common = [a.value for a in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        alternative = _alternative_names(request.extensions)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as e:
        _malformed(e)
    if len({a.oid for a in attributes}) != len(attributes):
        raise CSRRefused(CSRFault.MALFORMED, "an attribute occurs twice")
    texts = tuple(v if isinstance(v, str) else v.decode("latin-1") for v in common)
    return tuple(text for text in texts if text.strip()), alternative


def _alternative_names(extensions: x509.Extensions) -> tuple[str, ...]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    if any(not isinstance(name, x509.DNSName) for name in names):
        raise CSRRefused(CSRFault.NAME_TYPES)
    return tuple(names.get_values_for_type(x509.DNSName))


def _malformed(error: Exception) -> NoReturn:
    raise CSRRefused(CSRFault.MALFORMED) from error


def _pasted_keys(text: str) -> Iterable[bytes]:
    """The SPKI digests of private keys that can be read. An encrypted one is refused, but cannot be named."""
    for block in _BLOCK.finditer(text):
        if not block["label"].endswith("PRIVATE KEY"):
            continue
        try:
            key = serialization.load_pem_private_key(block[0].strip().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        public = key.public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        yield sha256(spki).digest()


__all__ = [
    "CSR",
    "CSRFault",
    "CSRRefused",
    "KeyFault",
    "KeyRefused",
    "NamesDiffer",
    "PrivateKeyPasted",
    "check_names",
    "read",
    "read_der",
]

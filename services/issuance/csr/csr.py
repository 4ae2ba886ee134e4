"""PKCS#10 requests: parse a text into one checked frozen value. Only its key reaches a certificate."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from services.issuance.csr import pkcs10, private_keys, signatures
from services.issuance.csr.keys import KeyFault, KeyRefused, checked_key
from services.issuance.csr.pkcs10 import Request
from shared.errors import Refused
from shared.pki import armour
from shared.pki.armour import Block
from shared.pki.names import NameRefused, certificate_names, server_name

MAX_BYTES: Final = 32 * 1024
# A CSR may also come without armour.
_LABELS: Final = ("", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
# The only common format of private keys without armour.
_PUTTY: Final = re.compile(r"PuTTY-User-Key-File|Private-Lines:", re.IGNORECASE)


class CSRFault(StrEnum):
    """Reasons for refusing a CSR, beside its key and names; stable, since subscribers act on them."""

    TOO_LARGE = "csr-too-large"
    NOT_A_CSR = "csr-not-a-csr"
    SEVERAL_BLOCKS = "csr-several-pem-blocks"
    PRIVATE_KEY = "csr-private-key-pasted"
    TRAILING_BYTES = "csr-trailing-bytes"
    VERSION = "csr-version-not-0"
    MALFORMED = "csr-malformed"
    SIGNATURE = "csr-signature-invalid"
    WEAK_SIGNATURE = "csr-signature-too-weak"
    ALGORITHM = "csr-signature-algorithm-unknown"
    NAME_TYPES = "csr-names-not-dns"
    NAMES_DIFFER = "csr-names-differ"


class CSRRefused(Refused):
    """The CSR cannot be used; the subscriber makes another one.

    The class's `reason` is the type of its problem document; an instance's is the fault, its member `reason`.
    """

    reason = "csr-refused"

    def __init__(self, fault: CSRFault, detail: str = "") -> None:
        super().__init__(detail or fault.value)
        self.reason = fault.value
        self.extensions: dict[str, object] = {"reason": fault.value}


class WeakSignature(CSRRefused):
    """The CSR is valid, but signed with a digest that proves nothing any more."""

    reason = "csr-signature-too-weak"

    def __init__(self, digest: str) -> None:
        super().__init__(CSRFault.WEAK_SIGNATURE, f"the CSR is signed with {digest}; sign it with SHA-256")


class PrivateKeyPasted(CSRRefused):
    """The text contains a private key, which is compromised. `spki_sha256` are the keys to block for good.

    `beside` is the key of the CSR in the same text, if the private key cannot be read: very likely the same key.
    """

    reason = "private-key-pasted"

    def __init__(self, spki_sha256: frozenset[bytes], beside: bytes | None = None) -> None:
        super().__init__(CSRFault.PRIVATE_KEY, "the text holds a private key, which is now compromised")
        self.spki_sha256 = spki_sha256
        self.beside = beside


class NamesDiffer(CSRRefused):
    """The CSR requests other names than were ordered."""

    reason = "csr-names-differ"

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
    """A request with an allowed key and proof of possession.

    `subject` (RFC 4514) and `signature_algorithm` (such as "rsa-pkcs1v15-sha256") are for people.
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
    """Return the only CSR in this text. Raises CSRRefused, PrivateKeyPasted or KeyRefused."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise CSRRefused(CSRFault.TOO_LARGE)
    blocks = armour.blocks(text)
    private = [block for block in blocks if block.is_private_key or _is_unlabelled_key(block)]
    if private or _PUTTY.search(text):
        raise _pasted(blocks, private)
    if len(blocks) > 1:
        raise CSRRefused(CSRFault.SEVERAL_BLOCKS)
    if not blocks or blocks[0].label not in _LABELS or blocks[0].der is None:
        raise CSRRefused(CSRFault.NOT_A_CSR)
    return read_der(blocks[0].der)


def _is_unlabelled_key(block: Block) -> bool:
    """Return whether the block, in DER or labelled as a CSR, is a private key."""
    return block.der is not None and block.label in _LABELS and private_keys.is_private_key(block.der)


def _pasted(blocks: list[Block], private: list[Block]) -> PrivateKeyPasted:
    """Return the refusal, with the keys that are compromised now."""
    found = [private_keys.public_digests(block) for block in private]
    unreadable = None in found or not private
    return PrivateKeyPasted(
        frozenset().union(*(digests for digests in found if digests is not None)),
        beside=_key_of_request(blocks) if unreadable else None,
    )


def _key_of_request(blocks: list[Block]) -> bytes | None:
    """Return the key of the CSR beside an unreadable private key: the sender holds that key."""
    for block in blocks:
        if block.label in _LABELS and block.der is not None:
            with suppress(CSRRefused, KeyRefused):
                return read_der(block.der).spki_sha256
    return None


def read_der(der: bytes) -> CSR:
    """Return the CSR in exactly these bytes. Raises CSRRefused or KeyRefused."""
    if len(der) > MAX_BYTES:
        raise CSRRefused(CSRFault.TOO_LARGE)
    request = _parse(der)
    key_kind = checked_key(request.spki)  # before the signature, which a huge modulus would slow down
    algorithm = signatures.algorithm(request.algorithm)
    if algorithm is None:
        raise CSRRefused(CSRFault.ALGORITHM, "the CSR is signed with an algorithm that is unknown here")
    if algorithm.is_weak:
        raise WeakSignature(algorithm.digest)
    if request.signature is None or not algorithm.verify(request.spki, request.signature, request.signed):
        raise CSRRefused(CSRFault.SIGNATURE)
    subject, names = _names(request)
    return CSR(
        der=der,
        spki=request.spki,
        key_kind=key_kind,
        subject=pkcs10.shown(subject),
        signature_algorithm=algorithm.name,
        common_names=pkcs10.common_names(subject),
        dns_names=names,
    )


def check_names(csr: CSR, server_names: Iterable[str]) -> None:
    """Check that the CSR requests the ordered names or none, so that a subscriber who wants others notices in time.

    It may or may not contain a wildcard's implied base name. Raises NamesDiffer or NameRefused.
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
        return name.lower()[:253]  # no order contains such a name: it is reported as surplus, as written


def _parse(der: bytes) -> Request:
    try:
        request = pkcs10.parse(der)
    except pkcs10.TrailingBytes as error:
        raise CSRRefused(CSRFault.TRAILING_BYTES) from error
    except pkcs10.Malformed as error:
        raise CSRRefused(CSRFault.MALFORMED if error.part else CSRFault.NOT_A_CSR, str(error)) from error
    if request.version != b"\x00":
        raise CSRRefused(CSRFault.VERSION)
    return request


def _names(request: Request) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    try:
        return pkcs10.subject(request), pkcs10.dns_names(request)
    except pkcs10.OtherNames as error:
        raise CSRRefused(CSRFault.NAME_TYPES) from error
    except pkcs10.Malformed as error:
        raise CSRRefused(CSRFault.MALFORMED, str(error)) from error


__all__ = [
    "CSR",
    "CSRFault",
    "CSRRefused",
    "KeyFault",
    "KeyRefused",
    "NamesDiffer",
    "PrivateKeyPasted",
    "WeakSignature",
    "check_names",
    "checked_key",
    "read",
    "read_der",
]

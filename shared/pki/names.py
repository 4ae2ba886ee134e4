"""Server names: the DNS names that a publicly trusted certificate may contain, and the comparison
of two lists of them.
"""

import ipaddress
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

import idna

from shared.errors import Refused

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

MAX_NAME: Final = 253
# Characters that IDNA treats as a dot (RFC 3490, 3.1), such as those of a Chinese input method.
_DOTS: Final = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
_LDH = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Special-use and de-facto internal zones (RFC 6761, 6762, 7686, 8375, 9476; ICANN's collision list). Most are no public
# suffix either, but the public suffix list does not list reserved zones.
_RESERVED: Final = frozenset(
    {"alt", "corp", "example", "home", "home.arpa", "internal", "intranet", "invalid", "lan"}
    | {"local", "localdomain", "localhost", "mail", "onion", "private", "test"}
)


class NameFault(StrEnum):
    """Reasons why a name cannot be in a certificate; stable, since subscribers act on them."""

    EMPTY = "name-empty"
    TOO_LONG = "name-too-long"
    TRAILING_DOT = "name-trailing-dot"
    UNDERSCORE = "name-underscore"
    NOT_LDH = "name-not-letters-digits-hyphen"
    BAD_IDN = "name-bad-internationalised-label"
    IP_ADDRESS = "name-is-ip-address"
    INTERNAL = "name-internal-or-reserved"
    REVERSE_ZONE = "name-in-reverse-zone"
    PUBLIC_SUFFIX = "name-is-public-suffix"
    WILDCARD = "name-wildcard-misplaced"


class NameRefused(Refused):
    """The name cannot be certified."""

    def __init__(self, name: str, fault: NameFault) -> None:
        super().__init__(f"{name[:MAX_NAME]!r}: {fault.value}")
        self.name = name
        self.reason = fault.value


def server_name(text: str) -> str:
    """Return the name in the form used in certificates: lower case, A-labels. Raises NameRefused.

    All checks use the mapped text, which is what a certificate would contain.
    """
    text = text.translate(_DOTS)
    if not text:
        raise NameRefused(text, NameFault.EMPTY)
    if len(text) > MAX_NAME:
        raise NameRefused(text, NameFault.TOO_LONG)
    if text.endswith("."):
        raise NameRefused(text, NameFault.TRAILING_DOT)
    if _is_ip_address(text):
        raise NameRefused(text, NameFault.IP_ADDRESS)
    wildcard = text.startswith("*.")
    base = text[2:] if wildcard else text
    if "*" in base:
        raise NameRefused(text, NameFault.WILDCARD)
    labels = [_a_label(text, label) for label in base.split(".")]
    name = ".".join(labels)
    if len(name) + 2 * wildcard > MAX_NAME:
        raise NameRefused(text, NameFault.TOO_LONG)
    _check_zone(text, labels, name)
    return f"*.{name}" if wildcard else name


def base_name(name: str) -> str | None:
    """Return the base name that a wildcard's certificate also covers, without a PIN; None for any other name."""
    return name[2:] if name.startswith("*.") else None


def unicode_name(name: str) -> str:
    """Return a name in U-labels, as people write it. The argument is in the form of certificates."""
    return ".".join(idna.ulabel(label) if label.startswith("xn--") else label for label in name.split("."))


def certificate_names(server_names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the certificate: the ordered ones, each wildcard followed by its base name."""
    result: dict[str, None] = {}
    for name in server_names:
        result[name] = None
        if base := base_name(name):
            result[base] = None
    return tuple(result)


def covering_domains(name: str) -> tuple[str, ...]:
    """Return the domains whose control covers this server name: its base name, then each parent that is no public
    suffix (BR 1.6.1, Authorization Domain Name).
    """
    domain = base_name(name) or name
    registrable = _public_suffixes().privatesuffix(domain)
    if registrable is None:
        return (domain,)
    labels = domain.split(".")
    return tuple(".".join(labels[i:]) for i in range(len(labels) - registrable.count(".")))


def _a_label(text: str, label: str) -> str:
    label = label.lower()
    if "_" in label:
        raise NameRefused(text, NameFault.UNDERSCORE)
    if not label.isascii():
        return _encode(text, label)
    if not _LDH.fullmatch(label):
        raise NameRefused(text, NameFault.NOT_LDH)
    if label[2:4] == "--":  # reserved LDH: only a true A-label is allowed
        _check_a_label(text, label)
    return label


def _encode(text: str, label: str) -> str:
    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError as error:
        raise NameRefused(text, NameFault.BAD_IDN) from error


def _check_a_label(text: str, label: str) -> None:
    try:
        encoded = idna.alabel(idna.ulabel(label)).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise NameRefused(text, NameFault.BAD_IDN) from error
    if encoded != label:
        raise NameRefused(text, NameFault.BAD_IDN)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        # Resolvers also read 1, 0x7f.1 and the like as addresses, so a last label of digits is refused.
        return text.rpartition(".")[2].isdecimal()
    return True


def _check_zone(text: str, labels: list[str], name: str) -> None:
    if labels[-1] == "arpa" and labels[-2:-1] != ["home"]:
        raise NameRefused(text, NameFault.REVERSE_ZONE)
    if len(labels) < 2 or labels[-1] in _RESERVED or ".".join(labels[-2:]) in _RESERVED:
        raise NameRefused(text, NameFault.INTERNAL)
    suffixes = _public_suffixes()
    if suffixes.publicsuffix(name) is None:  # a top-level domain that does not exist: nobody owns names in it
        raise NameRefused(text, NameFault.INTERNAL)
    if suffixes.privatesuffix(name) is None:
        raise NameRefused(text, NameFault.PUBLIC_SUFFIX)


@cache
def _public_suffixes() -> "PublicSuffixList":
    # Only who judges names has this package: mailing compares names that others have judged.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)

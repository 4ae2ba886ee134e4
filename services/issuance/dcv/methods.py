"""Methods of domain control validation: random values, where to put them, and which observation proves control.

Methods are named by the last number of their section in the Baseline Requirements: "7" is a DNS change (3.2.2.4.7),
"18" an agreed-upon file (3.2.2.4.18).
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.pki.names import MAX_NAME
from shared.pki.observations import Kind, Observation, Outcome

DNS_CHANGE: Final = "7"
AGREED_FILE: Final = "18"
METHODS: Final = (DNS_CHANGE, AGREED_FILE)

# BR 1.6.1: a random value has at least 112 bits. These are 160, which Base32 writes as 32 characters without padding.
_RANDOM_BYTES: Final = 20
_RECORD_LABEL: Final = "_validation"
# UTF-8's byte order mark in printable form, which Windows' editor puts before a text.
_BYTE_ORDER_MARK: Final = r"\239\187\191"
FILE_PATH: Final = "/.well-known/pki-validation/ecert.txt"


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """Places for a random value: any one of them proves control.

    `record_name` is where a TXT record with `txt_value`, or a CNAME record to `cname_target`, goes. It is None for a
    name that is too long for a label more. A file at `file_url` that contains `file_content` alone proves the domain
    itself, not its subdomains and no wildcard.
    """

    record_name: str | None
    txt_value: str
    cname_target: str
    file_url: str
    file_content: str


def random_value(random: Callable[[int], bytes]) -> str:
    """Return a new random value: lower-case letters and digits, fit for a DNS label. `random` returns that many bytes.

    Lower case, because DNS does not keep the case of a CNAME's target.
    """
    return base64.b32encode(random(_RANDOM_BYTES)).decode("ascii").lower()


def record_name(domain: str) -> str:
    """Return the name of the TXT or CNAME record that proves control of a domain."""
    return f"{_RECORD_LABEL}.{domain}"


def has_record_name(domain: str) -> bool:
    """Return whether the domain is short enough for its record's name."""
    return len(record_name(domain)) <= MAX_NAME


def instructions(domain: str, value: str, *, cname_suffix: str) -> Instructions:
    """Return where the AR may put the random value; the domain is without `*.`."""
    return Instructions(
        record_name=record_name(domain) if has_record_name(domain) else None,
        txt_value=value,
        cname_target=_cname_target(value, cname_suffix),
        file_url=f"http://{domain}{FILE_PATH}",
        file_content=value,
    )


def proves(observation: Observation, value: str, *, cname_suffix: str) -> bool:
    """Return whether an observation contains the random value where its method wants it.

    A TXT record and a file contain the value alone; blanks and line ends around it are ignored. The caller checks that
    the value is not too old, and that the observation is about the right name.
    """
    if observation.outcome is not Outcome.FOUND:
        return False
    match observation.kind:
        case Kind.TXT | Kind.FILE:
            return value in {text.removeprefix(_BYTE_ORDER_MARK).strip(" \t\r\n") for text in observation.values}
        case Kind.CNAME:
            return _cname_target(value, cname_suffix) in {text.lower() for text in observation.values}
        case _:
            return False


def covers(method: str, domain: str, name: str) -> bool:
    """Return whether control of a domain, proved by this method, covers a server name.

    A DNS change covers the domain, its subdomains and their wildcards; a file only the domain itself.
    """
    if method == DNS_CHANGE:
        return name.removeprefix("*.") == domain or name.endswith(f".{domain}")
    return method == AGREED_FILE and name == domain


def _cname_target(value: str, suffix: str) -> str:
    return f"{value}.{suffix}"

"""Parent domains: those of which one DNS record proves several domains of a renewal at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from portal import domains

# Offered on one page: those that prove most.
_MAX_OFFERED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A domain whose DNS record proves `count` domains of the renewal that are not proved yet.

    It is `listed` if it is one of them. Otherwise `found` is issuance's answer about it, None before it was begun.
    """

    domain: str
    count: int
    listed: bool
    found: Mapping[str, Any] | None = None

    @property
    def checking(self) -> bool:
        """Whether it is being looked at."""
        return self.found is not None and self.found["state"] == "checking"


def find(found: Sequence[Mapping[str, Any]]) -> list[Parent]:
    """Return the parents of the renewal's domains that are worth a proof, with what issuance says of them."""
    parents = list(_shared(found))[:_MAX_OFFERED]
    unlisted = [_all_below(each.domain) for each in parents if not each.listed]
    answers = domains.find(unlisted) if unlisted else []
    usable = {each["domain"]: each for each in answers if not domains.needs_value(each)}
    return [
        Parent(domain=each.domain, count=each.count, listed=each.listed, found=usable.get(each.domain))
        for each in parents
    ]


def begin(domain: str) -> None:
    """Give the parent a random value, unless it has one that can be used."""
    domains.begin([_all_below(domain)])


def is_parent(domain: str, names: Sequence[str]) -> bool:
    """Return whether a name is below the domain. Issuance judges which of those can be proved."""
    return any(name.endswith(f".{domain}") for name in names)


def _shared(found: Sequence[Mapping[str, Any]]) -> Iterator[Parent]:
    """Yield the nearest parent of every two or more domains that are not proved; first those of most domains."""
    below: dict[str, list[str]] = {}
    for each in found:
        if each["proved_at"] is None:
            # An issuance of the version before names no parents.
            for domain in (each["domain"], *each.get("parents", ())):
                below.setdefault(domain, []).append(each["domain"])
    nearest = {tuple(below[domain]): domain for domain in sorted(below, key=len)}
    for proves, domain in sorted(nearest.items(), key=lambda pair: (-len(pair[0]), pair[1])):
        if len(proves) > 1:
            yield Parent(domain=domain, count=len(proves), listed=domain in proves)


def _all_below(domain: str) -> str:
    """Return the server name that only a DNS record proves, and with it every name below the domain."""
    return f"*.{domain}"

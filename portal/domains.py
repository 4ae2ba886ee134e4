"""Domains of a renewal's server names: issuance's answers about them, and how far the renewal is."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from portal import languages, web
from shared.web.https_client import APIProblem, APIUnavailable

_PATH: Final = "/issuance/v1/domains"
# Characters of a query: a service refuses a request line of more than 4094 bytes.
_MAX_QUERY: Final = 3500
# Domains of one request, each with two server names at most, below issuance's limit of names.
_MAX_DOMAINS: Final = 250
# Issuance gives a new random value in the last five days of the old one.
_VALUE_ENDS_SOON: Final = timedelta(days=5)
# States of a renewal, and of its items, in which certificates may still be issued.
_OPEN: Final = ("draft", "awaiting-payment", "expiring", "awaiting-csrs", "on-hold")
_ITEM_DONE: Final = ("issued", "accepted", "refused", "withheld")


@dataclass(frozen=True, kw_only=True)
class Control:
    """Domain control of a renewal: numbers of its domains, and the day until which the first proof counts.

    `checking` is the number that is being looked at, `forbidden` of those whose CAA records forbid the certificate.
    """

    domains: int
    proved: int = 0
    checking: int = 0
    forbidden: int = 0
    begun: bool = False
    until: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every domain is proved and permitted."""
        return self.proved == self.domains and not self.forbidden


def names_of(renewal: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in the certificates that may still be issued, each once: with a wildcard its base name, too."""
    if renewal["state"] not in _OPEN:
        return ()
    items = (item for item in renewal["items"] if item["state"] not in _ITEM_DONE)
    ordered = (name for item in items for name in item["server_names"])
    return tuple(dict.fromkeys(each for name in ordered for each in (name, domain_of(name))))


def domain_of(name: str) -> str:
    """Return the domain that is proved for a server name: the name without `*.`."""
    return name.removeprefix("*.")


def find(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the domains of these server names that were begun, in alphabetical order."""
    found = [each for query in _queries(names) for each in web.get(f"{_PATH}?{query}").json()]
    return sorted(found, key=_domain)


def begin(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the domains of these server names; each gets a random value unless it has one that can be used."""
    found = find(names)
    if len(found) == len({domain_of(name) for name in names}) and not any(map(needs_value, found)):
        return found
    begun: list[dict[str, Any]] = []
    groups = list(_by_domain(names))
    for start in range(0, len(groups), _MAX_DOMAINS):
        part = [name for group in groups[start : start + _MAX_DOMAINS] for name in group]
        begun += web.post(_PATH, {"server_names": part}).json()
    return sorted(begun, key=_domain)


def needs_value(domain: Mapping[str, Any]) -> bool:
    """Return whether issuance would give the domain another random value: the old one has ended, or soon does."""
    ends = datetime.fromisoformat(domain["value_until"]) - languages.now() < _VALUE_ENDS_SOON
    return domain["proved_at"] is None and ends


def ask_check(domain: str) -> None:
    """Have the domain looked at now; sent twice, the form has it looked at once."""
    key = hashlib.sha256(f"{web.form_key()} {domain}".encode()).hexdigest()[:32]
    web.post(f"{_PATH}/{quote(domain, safe='')}/checks", key=key)


def control(names: Sequence[str], found: Sequence[Mapping[str, Any]]) -> Control:
    """Return how far the domains of these server names are."""
    ends = [each["reusable_until"] for each in found if each["reusable_until"]]
    return Control(
        domains=len({domain_of(name) for name in names}),
        proved=sum(each["proved_at"] is not None for each in found),
        checking=sum(each["state"] == "checking" for each in found),
        forbidden=sum(bool(each["caa"]) for each in found),
        begun=bool(found),
        until=min(ends, default=None),
    )


def find_control(renewal: Mapping[str, Any]) -> Control | None:
    """Return how far the domains of a renewal are, if it needs any and issuance can be asked just now."""
    names = names_of(renewal)
    if not names:
        return None
    try:
        return control(names, find(names))
    except APIUnavailable:
        return None
    except APIProblem as problem:
        if problem.status == 401:
            raise
        return None


def _domain(found: Mapping[str, Any]) -> str:
    return str(found["domain"])


def _queries(names: Iterable[str]) -> Iterator[str]:
    """Yield queries for these names, each short enough; the names of one domain are in one query."""
    query = ""
    for group in _by_domain(names):
        more = urlencode([("server_name", name) for name in group])
        if query and len(query) + len(more) > _MAX_QUERY:
            yield query
            query = ""
        query = f"{query}&{more}" if query else more
    if query:
        yield query


def _by_domain(names: Iterable[str]) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(domain_of(name), []).append(name)
    return groups.values()

"""CAA: whether the records that a perspective found permit a certificate of ours (RFC 8659, RFC 8657, BR 3.2.2.8).

Parameters of RFC 8657 are honoured at any time: the Baseline Requirements (SC-098) recommend it until 2027-03-15 and
require it from then on, and a domain that names an account or a method means it today.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.pki.observations import CAARecord, Kind, Observation, Outcome

_CRITICAL: Final = 0x80
_BLANKS: Final = " \t"
_ISSUE: Final = "issue"
_ISSUEWILD: Final = "issuewild"
_IODEF: Final = "iodef"
# The tags of which we know that they put no other condition on a TLS certificate: RFC 8659, RFC 9495, BR appendix A.1.
_KNOWN_TAGS: Final = frozenset({_ISSUE, _ISSUEWILD, _IODEF, "issuemail", "contactemail", "contactphone"})
_MAX_IODEF: Final = 5
# A record is shown in events and e-mails; a stranger may have filled it.
_MAX_SHOWN: Final = 300
_MAX_IODEF_LENGTH: Final = 254
_IODEF_SCHEMES: Final = ("mailto:", "https://", "http://")

# Grammar of RFC 8659, 4.2. In printable form a backslash is \\092; any other escape is outside the grammar.
_WORD: Final = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
_DOMAIN: Final = re.compile(rf"{_WORD}(?:\.{_WORD})*")
_TAG: Final = re.compile(_WORD)
_VALUE: Final = re.compile(r"(?:[\x21-\x3a\x3c-\x5b\x5d-\x7e]|\\092)*")
# RFC 8657, 4: labels divided by commas, without blanks.
_LABEL: Final = re.compile(r"[A-Za-z0-9-]+")


class CAAReason(StrEnum):
    """Reasons of CAA against a certificate; stable, since ARs act on them. The last named helps an AR most."""

    LOOKUP_FAILED = "caa-lookup-failed"
    CRITICAL_TAG = "caa-unknown-critical-tag"
    OTHER_ISSUER = "caa-other-issuer"
    NO_ISSUER = "caa-forbids-all"
    UNPARSABLE = "caa-value-unparsable"
    PARAMETERS = "caa-parameter-unusable"
    ACCOUNT = "caa-other-account"
    METHOD = "caa-other-method"


_RANK: Final[Mapping[str, int]] = {reason: rank for rank, reason in enumerate(CAAReason)}


class _Unparsable(Exception):
    """The value is outside the grammar."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Outcome of CAA for one name.

    `reason` is a CAAReason, or the perspective's reason why it has no answer. `record` is the record at fault, in the
    form of a zone file. `iodef` has the addresses to which the domain wants refusals reported (RFC 8659, 4.4).
    """

    permitted: bool
    reason: str | None = None
    record: str | None = None
    iodef: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Applicant:
    """The CA and the applicant that records are compared with."""

    issuer_domains: Collection[str]
    accounts: Collection[str]
    label: str


def decide(
    observation: Observation, *, name: str, issuer_domains: Collection[str], accounts: Collection[str], method: str
) -> Decision:
    """Return whether the CAA records seen for a server name permit us to certify it.

    The observation is of the name without `*.`. `issuer_domains` are ours, in lower case; `accounts` the applicant's
    account URIs (RFC 8657, 3); `method` is the one that proved control of the name, as in `methods`. Only an answer
    that there are no records, or records that permit it, is permission. Raises ValueError for an observation of
    another kind or name.
    """
    if observation.kind is not Kind.CAA or observation.name != name.removeprefix("*."):
        raise ValueError(f"an observation of {observation.name} for {name}")
    if observation.outcome is Outcome.FAILED:
        return Decision(permitted=False, reason=observation.reason or CAAReason.LOOKUP_FAILED)
    if observation.outcome is Outcome.ABSENT:
        return Decision(permitted=True)
    applicant = _Applicant(issuer_domains=issuer_domains, accounts=accounts, label=f"ca-tbr-{method}")
    fault = _fault(observation.records, name.startswith("*."), applicant)
    addresses = iodef(observation)
    if fault is None:
        return Decision(permitted=True, iodef=addresses)
    reason, record = fault
    return Decision(permitted=False, reason=reason, record=_shown(record, observation), iodef=addresses)


def _fault(records: Collection[CAARecord], wildcard: bool, applicant: _Applicant) -> tuple[CAAReason, CAARecord] | None:
    """Return the reason and the record that forbid the certificate; None if it is permitted."""
    for record in records:
        if record.flags & _CRITICAL and record.tag.lower() not in _KNOWN_TAGS:
            return CAAReason.CRITICAL_TAG, record
    deciding = _tagged(records, _ISSUEWILD) if wildcard else []
    deciding = deciding or _tagged(records, _ISSUE)
    faults = []
    for record in deciding:
        reason = _against(record, applicant)
        if reason is None:
            return None
        faults.append((reason, record))
    return max(faults, key=lambda fault: _RANK[fault[0]], default=None)


def _tagged(records: Iterable[CAARecord], tag: str) -> list[CAARecord]:
    return [record for record in records if record.tag.lower() == tag]


def _against(record: CAARecord, applicant: _Applicant) -> CAAReason | None:
    """Return why this record does not authorise us; None if it does."""
    try:
        domain, parameters = _parse(record.value)
    except _Unparsable:
        return CAAReason.UNPARSABLE
    if not domain:
        return CAAReason.NO_ISSUER
    if domain.lower() not in applicant.issuer_domains:
        return CAAReason.OTHER_ISSUER
    return _against_parameters(parameters, applicant)


def _against_parameters(parameters: Iterable[tuple[str, str]], applicant: _Applicant) -> CAAReason | None:
    """Return why the parameters exclude this account or method. Others than those of RFC 8657 are ignored."""
    given: dict[str, str] = {}
    for tag, value in parameters:
        if tag in ("accounturi", "validationmethods"):
            if tag in given:
                return CAAReason.PARAMETERS
            given[tag] = value
    if "accounturi" in given and given["accounturi"] not in applicant.accounts:
        return CAAReason.ACCOUNT
    if "validationmethods" not in given:
        return None
    labels = given["validationmethods"].split(",") if given["validationmethods"] else []
    if not all(map(_LABEL.fullmatch, labels)):
        return CAAReason.PARAMETERS
    return None if applicant.label in labels else CAAReason.METHOD


def _parse(value: str) -> tuple[str, list[tuple[str, str]]]:
    """Return issuer domain, empty for nobody, and parameters of an issue value; tags in lower case.

    Raises _Unparsable.
    """
    head, _, tail = value.partition(";")
    domain = head.strip(_BLANKS)
    if domain and not _DOMAIN.fullmatch(domain):
        raise _Unparsable
    return domain, [_parameter(part) for part in tail.split(";")] if tail.strip(_BLANKS) else []


def _parameter(text: str) -> tuple[str, str]:
    tag, equals, value = text.partition("=")
    tag, value = tag.strip(_BLANKS), value.strip(_BLANKS)
    if not equals or not _TAG.fullmatch(tag) or not _VALUE.fullmatch(value):
        raise _Unparsable
    return tag.lower(), value


def iodef(observation: Observation) -> tuple[str, ...]:
    """Return the first addresses for reports that have a form we can use (RFC 8659, 4.4)."""
    usable = (
        record.value
        for record in _tagged(observation.records, _IODEF)
        if record.value.lower().startswith(_IODEF_SCHEMES)
        and len(record.value) <= _MAX_IODEF_LENGTH
        and not re.search(r"[\s\\]", record.value)
    )
    return tuple(address for _, address in zip(range(_MAX_IODEF), usable, strict=False))


def _shown(record: CAARecord, observation: Observation) -> str:
    value = record.value.replace('"', '\\"')[:_MAX_SHOWN]
    return f'{observation.owner or observation.name} CAA {record.flags} {record.tag} "{value}"'

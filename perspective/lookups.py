"""Lookups of TXT, CNAME and CAA records, as observations."""

import time
from collections.abc import Sequence
from typing import Any, Final

import dns.name
from dns.rdatatype import RdataType

from perspective.resolver import Answer, LookupFailed, Resolver
from shared.pki.observations import (
    MAX_RECORDS,
    MAX_TEXT,
    MAX_VALUES,
    CAARecord,
    Kind,
    Observation,
    Outcome,
    Question,
    Reason,
    printable,
)

_RECORD_TYPES: Final = {Kind.TXT: RdataType.TXT, Kind.CNAME: RdataType.CNAME}


def look_up(resolver: Resolver, question: Question, deadline: float) -> Observation:
    """Return the observation of a TXT, CNAME or CAA question. Raises LookupFailed."""
    name = dns.name.from_text(question.name)
    if question.kind is Kind.CAA:
        return _look_up_caa(resolver, question, name, deadline)
    answer = resolver.resolve(name, _RECORD_TYPES[question.kind], deadline)
    if answer.rrset is None:
        return Observation(kind=question.kind, name=question.name, outcome=Outcome.ABSENT, secure=answer.secure)
    values = tuple(_value(question.kind, rdata) for rdata in answer.rrset)
    _check_size(values, MAX_VALUES)
    return _found(question, answer, values=values)


def _look_up_caa(resolver: Resolver, question: Question, name: dns.name.Name, deadline: float) -> Observation:
    """Return the CAA records of the name, or else of the nearest parent that has any (RFC 8659, 3).

    Top-level domains count as parents. A CNAME is followed for each of these names, never climbed from.
    """
    secure = True
    while name != dns.name.root:
        if time.monotonic() >= deadline:
            raise LookupFailed(Reason.DNS_TIMEOUT)
        answer = resolver.resolve(name, RdataType.CAA, deadline)
        secure = secure and answer.secure
        if answer.rrset is not None:
            records = tuple(
                CAARecord(rdata.flags, printable(rdata.tag), printable(rdata.value)) for rdata in answer.rrset
            )
            _check_size([each.tag + each.value for each in records], MAX_RECORDS)
            return _found(question, answer, records=records, secure=secure)
        name = name.parent()
    return Observation(kind=question.kind, name=question.name, outcome=Outcome.ABSENT, secure=secure)


def _found(question: Question, answer: Answer, **content: Any) -> Observation:
    fields: dict[str, Any] = {
        "kind": question.kind,
        "name": question.name,
        "outcome": Outcome.FOUND,
        "owner": _text(answer.owner),
        "ttl": answer.ttl,
        "secure": answer.secure,
    }
    return Observation(**(fields | content))


def _value(kind: Kind, rdata: Any) -> str:
    return _text(rdata.target) if kind is Kind.CNAME else printable(b"".join(rdata.strings))


def _text(name: dns.name.Name) -> str:
    """Return a name in printable form, in lower case, without final dot."""
    return ".".join(printable(label) for label in name.canonicalize().relativize(dns.name.root).labels)


def _check_size(texts: Sequence[str], most: int) -> None:
    if len(texts) > most:
        raise LookupFailed(Reason.RECORDS)
    if sum(map(len, texts)) > MAX_TEXT:
        raise LookupFailed(Reason.SIZE)

"""Rows of the tables: zone content, question, observation, decision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.issuance.dcv import caa, methods
from shared.pki.observations import Kind, Observation, Question
from tests.integration.perspective.zones import Signing, Zone, secure

VALUE: Final = "abcdefghijklmnopqrstuvwxyz234567"
SUFFIX: Final = "dcv.ca.example"
OURS: Final = "ca.example"
ACCOUNT: Final = "acct:S1@ca.example"

PERMITTED: Final = "permitted"
PROVED: Final = "proved"
NOT_PROVED: Final = "not proved"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row: `question` is kind and name below the zone's origin; `seen` outcome or reason.

    `secure` says whether the resolver validated the answer; None if that does not matter.
    """

    name: str
    origin: str
    zones: Sequence[Zone]
    question: Question
    server_name: str
    seen: str
    decision: str
    secure: bool | None = None

    def decide(self, observation: Observation) -> str:
        """Return what issuance makes of the observation."""
        if observation.kind is Kind.CAA:
            decision = caa.decide(
                observation,
                name=self.server_name,
                issuer_domains=[OURS],
                accounts=[ACCOUNT],
                method=methods.DNS_CHANGE,
            )
            return PERMITTED if decision.permitted else str(decision.reason)
        return PROVED if methods.proves(observation, VALUE, cname_suffix=SUFFIX) else NOT_PROVED


class Table:
    """A table of cases; each has a zone of its own below hk."""

    def __init__(self, prefix: str) -> None:
        self.cases: list[Case] = []
        self._prefix = prefix

    def row(
        self,
        name: str,
        text: str,
        question: str,
        seen: str,
        decision: str,
        *,
        signing: Signing = secure,
        more: Sequence[Zone] = (),
        server: str | None = None,
        secure: bool | None = None,
    ) -> None:
        """Add a case. In the text, `{value}` is the random value, `{origin}` the zone's origin with final dot.

        `more` are zones below this one, their origins relative to it. A question about CAA may be about a wildcard.
        """
        label = f"{self._prefix}{len(self.cases)}"
        origin = f"{label}.hk."
        fill = {"value": VALUE, "origin": origin}
        below = [Zone(f"{zone.origin}.{origin}", zone.text.format(**fill), zone.signing, zone.server) for zone in more]
        kind, _, relative = question.partition(" ")
        server_name = origin.rstrip(".") if relative == "@" else f"{relative}.{origin.rstrip('.')}"
        self.cases.append(
            Case(
                name=name,
                origin=origin,
                zones=[Zone(origin, text.format(**fill), signing, server), *below],
                question=Question(Kind(kind), server_name.removeprefix("*.")),
                server_name=server_name,
                seen=seen,
                decision=decision,
                secure=secure,
            )
        )

    def parameters(self) -> list[Any]:
        """Return the cases as parameters of a test."""
        import pytest

        return [pytest.param(case, id=case.name) for case in self.cases]


def zones_of(*tables: Table) -> Iterator[Zone]:
    """Return every zone of these tables."""
    for table in tables:
        for case in table.cases:
            yield from case.zones

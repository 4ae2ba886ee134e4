"""DNS as all perspectives see it, in place of the perspectives, which have tests of their own with real servers."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.issuance.dcv.perspectives import Failure
from services.issuance.dcv.quorum import Perspective, PerspectiveSet, Place, Region, Role
from services.issuance.domain_evidence import DomainRules
from shared.pki.observations import CAARecord, Kind, Observation, Outcome, Question, Reason, Report

_PLACES = (
    ("hkg", Role.PRIMARY, Region.APNIC, Place(22.3, 114.2)),
    ("sin", Role.REMOTE, Region.APNIC, Place(1.4, 103.8)),
    ("fra", Role.REMOTE, Region.RIPE, Place(50.1, 8.7)),
    ("iad", Role.REMOTE, Region.ARIN, Place(39.0, -77.5)),
    ("gru", Role.REMOTE, Region.LACNIC, Place(-23.6, -46.6)),
    ("jnb", Role.REMOTE, Region.AFRINIC, Place(-26.2, 28.0)),
)
SET = PerspectiveSet(
    tuple(
        Perspective(name=name, role=role, url=f"https://{name}.example.hk", region=region, resolver=place)
        for name, role, region, place in _PLACES
    )
)
SET_JSON = json.dumps(
    [
        {
            "name": each.name,
            "role": each.role.value,
            "url": each.url,
            "rir": each.region.value,
            "latitude": each.resolver.latitude,
            "longitude": each.resolver.longitude,
        }
        for each in SET.perspectives
    ]
).encode()
RULES = DomainRules(
    issuer_domains=("hongkongpost.gov.hk",), cname_suffix="dcv.ecert.example.hk", quorum=SET.corroborated
)
REMOTES = tuple(SET.remotes)


@dataclass
class Zone:
    """Records by kind and name; `blind` perspectives see none of them, `down` ones do not answer.

    `caa_at` has the CAA records of perspectives that see others than the rest.
    """

    primary: str = SET.primary.name
    records: dict[Question, tuple[str, ...]] = field(default_factory=dict)
    caa: dict[str, tuple[CAARecord, ...]] = field(default_factory=dict)
    caa_at: dict[str, dict[str, tuple[CAARecord, ...]]] = field(default_factory=dict)
    failing: dict[Question, Reason] = field(default_factory=dict)
    ttl: int = 300
    blind: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    asked: int = 0

    def observe(self, questions: Sequence[Question], attempt_id: uuid.UUID) -> Mapping[str, Report | Failure]:
        """Return the report of each perspective."""
        self.asked += 1
        return {each.name: self._report(each.name, questions, attempt_id) for each in SET.perspectives}

    def _report(self, name: str, questions: Sequence[Question], attempt_id: uuid.UUID) -> Report | Failure:
        if name in self.down:
            return Failure(perspective=name, reason="timed-out")
        seen = tuple(self._observation(each, name) for each in questions)
        return Report(perspective=name, resolver=f"{name}:53", attempt_id=attempt_id, observations=seen)

    def _observation(self, question: Question, perspective: str) -> Observation:
        if question in self.failing:
            reason = self.failing[question]
            return Observation(kind=question.kind, name=question.name, outcome=Outcome.FAILED, reason=reason)
        values = () if perspective in self.blind else self.records.get(question, ())
        caa = self.caa_at.get(perspective, self.caa)
        records = caa.get(question.name, ()) if question.kind is Kind.CAA else ()
        return Observation(
            kind=question.kind,
            name=question.name,
            outcome=Outcome.FOUND if values or records else Outcome.ABSENT,
            values=values,
            records=records,
            ttl=self.ttl,
        )

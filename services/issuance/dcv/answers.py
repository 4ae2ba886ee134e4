"""Answers of all perspectives to one inquiry, as they are judged and stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.pki.observations import Kind, Observation, Report, read_observation

if TYPE_CHECKING:
    from services.issuance.dcv.perspectives import Failure


_MAX_VALUES: Final = 8
_MAX_TEXT: Final = 300


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of one perspective: the resolver it used and what it saw, or the reason why it gave none."""

    resolver: str | None = None
    observations: tuple[Observation, ...] = ()
    failure: str | None = None

    def to(self, kind: Kind) -> Observation | None:
        """Return the observation of this kind, if there is one."""
        return next((each for each in self.observations if each.kind is kind), None)

    def document(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "resolver": self.resolver,
            "observations": [each.document() for each in self.observations],
            "failure": self.failure,
        }


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers about one domain, by perspective. One of them is the primary perspective."""

    primary: str
    by: Mapping[str, Answer]

    def verdicts(self, judge: Callable[[Answer], bool]) -> tuple[bool, dict[str, bool]]:
        """Return what follows from the primary's answer, and from each remote one's."""
        remotes = {name: judge(answer) for name, answer in sorted(self.by.items()) if name != self.primary}
        return judge(self.by[self.primary]), remotes

    def seen(self, kind: Kind) -> Observation | None:
        """Return what the primary perspective saw."""
        return self.by[self.primary].to(kind)

    def of_kind(self, kind: Kind) -> "Answers":
        """Return the answers to the questions of one kind."""
        return self._with(
            lambda each: replace(each, observations=tuple(o for o in each.observations if o.kind is kind))
        )

    def of_primary(self) -> "Answers":
        """Return the primary perspective's answers alone."""
        return replace(self, by={self.primary: self.by[self.primary]})

    def shortened(self) -> "Answers":
        """Return the answers with long texts and lists of strangers cut: what proves nothing is kept for people."""
        return self._with(lambda each: replace(each, observations=tuple(map(_shortened, each.observations))))

    def _with(self, change: "Callable[[Answer], Answer]") -> "Answers":
        return replace(self, by={name: change(each) for name, each in self.by.items()})

    def document(self) -> dict[str, Any]:
        """Return the answers as JSON values, to be stored."""
        return {"primary": self.primary, "by": {name: each.document() for name, each in sorted(self.by.items())}}


def answers_of(primary: str, outcomes: "Mapping[str, Report | Failure]") -> Answers:
    """Return the answers that the perspectives gave, and for each that gave none the reason."""
    return Answers(
        primary=primary,
        by={
            name: Answer(resolver=outcome.resolver, observations=outcome.observations)
            if isinstance(outcome, Report)
            else Answer(failure=f"perspective-{outcome.reason}")
            for name, outcome in outcomes.items()
        },
    )


def _shortened(observation: Observation) -> Observation:
    return replace(observation, values=tuple(text[:_MAX_TEXT] for text in observation.values[:_MAX_VALUES]))


def read_answers(document: Mapping[str, Any]) -> Answers:
    """Return stored answers."""
    return Answers(
        primary=document["primary"],
        by={
            name: Answer(
                resolver=each["resolver"],
                observations=tuple(map(read_observation, each["observations"])),
                failure=each["failure"],
            )
            for name, each in document["by"].items()
        },
    )

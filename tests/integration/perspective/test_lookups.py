"""Lookups in real zones by a real validating resolver, and what issuance decides on them."""

import pytest

from perspective.observing import Observer
from shared.pki.observations import Outcome, read_observation
from tests.integration.perspective import hostile, ordinary, signatures
from tests.integration.perspective.cases import Case


def check(case: Case, observer: Observer) -> None:
    (observation,) = observer.observe([case.question])
    assert read_observation(observation.document()) == observation
    seen = observation.reason if observation.outcome is Outcome.FAILED else observation.outcome
    assert (str(seen), case.decide(observation)) == (case.seen, case.decision), observation
    if case.secure is not None:
        assert observation.secure is case.secure


@pytest.mark.parametrize("case", ordinary.TABLE.parameters())
def test_ordinary_zone_is_observed_and_judged(case: Case, observer: Observer) -> None:
    check(case, observer)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*signatures.TABLE.parameters(), *hostile.TABLE.parameters()])
def test_hostile_zone_is_observed_and_judged(case: Case, hostile_observer: Observer) -> None:
    check(case, hostile_observer)

"""A counter is there at 0 for each combination of its labels' values."""

from prometheus_client import CollectorRegistry, Counter

from shared.observability.metrics import preset


def test_a_preset_counter_has_a_zero_for_each_combination() -> None:
    registry = CollectorRegistry()
    counter = Counter("tried", "Attempts", ["what", "outcome"], registry=registry)
    assert preset(counter, ["mail", "letter"], ["sent", "refused"]) is counter
    found = {
        (what, outcome): registry.get_sample_value("tried_total", {"what": what, "outcome": outcome})
        for what in ("mail", "letter", "other")
        for outcome in ("sent", "refused")
    }
    zeros = {(what, outcome): 0.0 for what in ("mail", "letter") for outcome in ("sent", "refused")}
    assert {key: value for key, value in found.items() if value is not None} == zeros

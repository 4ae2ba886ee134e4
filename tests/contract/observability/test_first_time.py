"""An alert on a counter's increase needs its 0 from the start: what begins at 1 has not increased."""

import re
import subprocess
import sys
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from deploy.postgres.roles import SERVICES, package
from tests.contract.observability.rules import ROOT, alerts

# Alerts that a first time alone sets off; where more has to happen, the one that is lost does not count.
AT_ONCE: Final = re.compile(r"^increase\((\w+)(?:\{(\w+)=~\"([^\"]*)\"\})?\[1h\]\) > 0$")


def initial_counters() -> dict[str, list[dict[str, str]]]:
    """Return each counter that a service exports before any event: its labels, once for each of their values."""
    found: dict[str, list[dict[str, str]]] = {}
    for service in SERVICES:
        modules = f"shared.messaging.relay, {package(service)}.main, prometheus_client as p"
        code = f"import {modules}; print(p.generate_latest().decode())"
        done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
        for family in text_string_to_metric_families(done.stdout):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_alert_fires_at_the_first_occurrence() -> None:
    at_once = [match for alert in alerts() if (match := AT_ONCE.match(alert["expr"]))]
    assert len(at_once) == len([alert for alert in alerts() if alert["expr"].endswith("[1h]) > 0")]) > 4
    counters = initial_counters()
    for metric, label, values in (match.groups() for match in at_once):
        samples = counters.get(metric, [])
        wanted = set(values.split("|")) if label else {""}
        assert {each.get(label, "") if label else "" for each in samples} >= wanted, f"{metric} begins with its first 1"

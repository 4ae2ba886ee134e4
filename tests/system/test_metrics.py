"""Metrics of alerts and dashboards are exported by the running processes."""

import re

import urllib3

from deploy.local import processes, stack
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.contract.observability.rules import expressions

# PromQL's own words and the labels of our expressions; every other word is a metric.
_NOT_METRICS = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|and|or)\b(?: \([^)]*\))?|\b\w+(?=\()|\b[\d.]+\b')

# Of kube-state-metrics.
_CLUSTERS_OWN = "kube_"


def test_every_queried_metric_is_exported_by_a_process(system: Target, victim: Journey) -> None:
    asked = {name for text in expressions() for name in re.findall(r"\b[a-z]+(?:_\w+)+", _NOT_METRICS.sub(" ", text))}
    assert len(asked) > 20
    processes_tell = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked if not name.startswith(_CLUSTERS_OWN)}
    assert processes_tell <= exported(system)


def exported(system: Target) -> set[str]:
    """Return the names of all metrics of all processes."""
    found: set[str] = set()
    for process in processes.table(system.installation, stack.outside()):
        if process.admin_port is not None:
            answer = urllib3.request("GET", f"http://127.0.0.1:{process.admin_port}/metrics")
            found |= set(re.findall(r"^# TYPE (\w+)", answer.data.decode(), re.M))
    return found

"""Rules and dashboards ask for labels and buckets that the metrics have: of others Prometheus says nothing at all."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from deploy.postgres.roles import SERVICES, package
from tests.contract.k8s.flows import PROCESSES
from tests.contract.observability.rules import ROOT, expressions

MATCHED: Final = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
MATCHER: Final = re.compile(r'(\w+)(?:=~|!=|=)"([^"]*)"')
# What Prometheus and pod-monitor.yaml add to every sample.
ADDED: Final = {"service", "process", "job"}
# What kube-state-metrics tells of the nightly jobs.
OF_OTHERS: Final = {
    "kube_cronjob_status_last_successful_time": ["namespace", "cronjob"],
    "kube_cronjob_created": ["namespace", "cronjob"],
}
EXPORT: Final = """
import json, prometheus_client, {mains}
import shared.messaging.consumer, shared.messaging.feed_lag, shared.messaging.relay, services.issuance.feed.main
import shared.web.request_metrics
print(json.dumps({{
    name: [*each._labelnames, *(f'le="{{float(bound)}}"' for bound in getattr(each, "_upper_bounds", ()))]
    for name, each in prometheus_client.REGISTRY._names_to_collectors.items() if hasattr(each, "_labelnames")
}}))
"""
Exported = dict[str, list[str]]


@pytest.fixture(scope="module")
def exported() -> Exported:
    """Every metric of our processes with its labels, and its buckets as the matcher for each."""
    code = EXPORT.format(mains=", ".join(f"{package(service)}.main" for service in SERVICES))
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    found: Any = json.loads(done.stdout)
    assert isinstance(found, dict)
    return {**found, **OF_OTHERS}


def unknown(asked: Sequence[str], exported: Exported) -> Iterator[str]:
    """Yield labels that are queried and never exported."""
    for metric, matchers in (match for each in asked for match in MATCHED.findall(each)):
        for label, value in MATCHER.findall(matchers):
            known = label in ADDED or f'{label}="{value}"' in exported[metric] or label in exported[metric]
            if not known:
                yield f"{metric}: {label}={value}"
            if label == "service" and value not in PROCESSES:
                yield f"no service is {value}"


def test_every_queried_label_and_bucket_is_exported(exported: Exported) -> None:
    assert len([each for each in expressions() if MATCHED.search(each)]) > 20
    assert list(unknown(expressions(), exported)) == []


@pytest.mark.parametrize(
    "asked",
    [
        'event_delivery_seconds_bucket{le="5"}',
        'issuance_seconds_bucket{le="240.0"}',
        'http_requests_total{code=~"5.."}',
        'http_requests_total{service="gateway"}',
    ],
)
def test_label_that_is_not_exported_is_found(exported: Exported, asked: str) -> None:
    assert list(unknown([f"sum(rate({asked}[5m]))"], exported)) != []

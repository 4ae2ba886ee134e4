"""Flows that the NetworkPolicies allow: exactly those of the table."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.k8s import flows, reach
from tests.contract.k8s.reach import Flow, Peer
from tests.contract.k8s.rendering import Object, Rendered, container, environment, labels, name, render

TRACING = "OTEL_EXPORTER_OTLP_ENDPOINT"


def peers(rendered: Rendered) -> list[Peer]:
    pods = [Peer(name=name(each), labels=labels(each)) for each in rendered.workloads()]
    return [*pods, *flows.neighbours(rendered.overlay)]


def ports(rendered: Rendered) -> set[tuple[int, str]]:
    """Return all that a policy or a container names, and one that nobody should."""
    found = {(22, "TCP")}
    for each in rendered.workloads():
        found |= {(port["containerPort"], "TCP") for port in container(each).get("ports", ())}
    for policy in rendered.of("NetworkPolicy"):
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            found |= {(port["port"], port.get("protocol", "TCP")) for port in rule.get("ports", ())}
    return found


def differences(rendered: Rendered) -> list[Flow]:
    """Return judged at each end alone: neither relies on the other's being closed."""
    policies, everyone, all_ports = rendered.of("NetworkPolicy"), peers(rendered), ports(rendered)
    ours, table = {each.name for each in everyone if each.namespace == reach.NAMESPACE}, flows.flows(rendered.overlay)
    out, into = reach.egress(policies, everyone, all_ports), reach.ingress(policies, everyone, all_ports)
    wrong = out ^ {flow for flow in table if flow.source in ours}
    return sorted(wrong | (into ^ {flow for flow in table if flow.target in ours}))


def test_exactly_the_flows_of_the_table_are_allowed(rendered: Rendered) -> None:
    assert differences(rendered) == []


def test_trace_collector_is_reachable_only_with_tracing_enabled(rendered: Rendered) -> None:
    traced = render("traced")
    assert differences(traced) == []
    assert not [name(each) for each in rendered.ours() if TRACING in environment(rendered, each)]
    told = {environment(traced, each).get(TRACING) for each in traced.ours() if each["kind"] == "Deployment"}
    assert told == {"http://opentelemetry-collector.monitoring:4318"}


def test_every_pod_is_in_the_table_of_flows(rendered: Rendered) -> None:
    known = [each.name for each in peers(rendered) if each.namespace == reach.NAMESPACE]
    assert sorted(known) == sorted(flows.everybody(rendered.overlay))


def test_pods_of_operators_have_the_label_of_the_policies(production: Rendered) -> None:
    kafka = production.one("Kafka", "ecert")["spec"]
    # A pool's template is taken instead of this one, not with it.
    assert "template" not in kafka["kafka"]
    pools = [each["spec"]["template"]["pod"] for each in production.of("KafkaNodePool")]
    assert [each["metadata"]["labels"] for each in pools] == [{"ecert-engine": "kafka"}] * 2
    users = kafka["entityOperator"]["template"]["pod"]
    assert users["metadata"]["labels"] == {"ecert-engine": "kafka-users"}
    assert {each["priorityClassName"] for each in (*pools, users)} == {"ecert-engine"}
    assert all(each["terminationGracePeriodSeconds"] >= 120 for each in pools)
    proxy = production.one("EnvoyProxy", "ecert")["spec"]["provider"]["kubernetes"]["envoyDeployment"]
    assert proxy["pod"]["labels"] == {"ecert-engine": "gateway"}


def drop_port(policy: Object) -> None:
    (rule,) = policy["spec"].get("ingress") or policy["spec"]["egress"]
    rule.pop("ports")


@pytest.mark.parametrize(
    ("which", "change"),
    [
        ("default-deny", lambda it: it["spec"].update(policyTypes=["Egress"])),
        ("default-deny", lambda it: it["spec"].update(podSelector={"matchLabels": {"a": "b"}})),
        ("payment-to-database", lambda it: it["spec"]["egress"][0]["to"][0].update(podSelector={})),
        ("payment-database", lambda it: it["spec"]["ingress"][0].pop("from")),
        ("payment-database", drop_port),
        ("to-kafka", lambda it: it["spec"]["podSelector"]["matchExpressions"][0]["values"].append("work")),
        ("to-kafka", lambda it: it["spec"]["podSelector"]["matchExpressions"][0]["values"].remove("relay")),
        ("from-gateway", lambda it: it["spec"]["ingress"][0]["from"][0].pop("podSelector")),
        ("from-gateway", lambda it: it["spec"]["podSelector"]["matchExpressions"][0]["values"].append("mailing")),
        ("metrics", lambda it: it["spec"]["ingress"][0]["from"][0].pop("namespaceSelector")),
        ("payment-to-provider", lambda it: it["spec"]["egress"][0]["to"][0]["ipBlock"].pop("except")),
        ("dns", lambda it: it["spec"]["egress"][0]["ports"].pop()),
    ],
)
def test_missing_or_surplus_flow_is_found(production: Rendered, which: str, change: Callable[[Any], object]) -> None:
    made = production.broken()
    change(made.one("NetworkPolicy", which))
    assert differences(made) != []

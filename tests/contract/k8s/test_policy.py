"""The policies hold in every overlay, and each of them is broken once to see that it would be noticed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.k8s import policy
from tests.contract.k8s.rendering import Rendered, container, pod

Rule = Callable[[Rendered], Iterator[str]]


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_manifests_satisfy_the_policy(rendered: Rendered, rule: Rule) -> None:
    assert list(rule(rendered)) == []


WEB, CONSUME = ("Deployment", "payment-web"), ("Deployment", "payment-consume")


def within(kind: str, which: str, change: Callable[[Any], object]) -> Callable[[Rendered], object]:
    return lambda made: change(made.one(kind, which))


def of_container(change: Callable[[Any], object]) -> Callable[[Rendered], object]:
    return lambda made: change(container(made.one(*WEB)))


def of_pod(change: Callable[[Any], object]) -> Callable[[Rendered], object]:
    return lambda made: change(pod(made.one(*WEB)))


SLIPS: list[tuple[Rule, Callable[[Rendered], object]]] = [
    (policy.asks_and_is_limited, of_container(lambda it: it["resources"]["limits"].clear())),
    (policy.asks_and_is_limited, of_container(lambda it: it["resources"].pop("requests"))),
    (policy.is_probed, of_container(lambda it: it.pop("startupProbe"))),
    (policy.is_probed, of_container(lambda it: it.pop("livenessProbe"))),
    (policy.is_probed, of_container(lambda it: it.pop("readinessProbe"))),
    (policy.has_no_privilege, of_pod(lambda it: it["securityContext"].update(runAsUser=0))),
    (policy.has_no_privilege, of_pod(lambda it: it["securityContext"].pop("runAsNonRoot"))),
    (policy.has_no_privilege, of_pod(lambda it: it["securityContext"].pop("seccompProfile"))),
    (policy.has_no_privilege, of_pod(lambda it: it.update(hostNetwork=True))),
    (policy.has_no_privilege, of_container(lambda it: it["securityContext"].update(privileged=True))),
    (policy.has_no_privilege, of_container(lambda it: it["securityContext"].pop("allowPrivilegeEscalation"))),
    (policy.has_no_privilege, of_container(lambda it: it["securityContext"]["capabilities"].update(add=["NET_RAW"]))),
    (policy.has_a_read_only_root, of_container(lambda it: it["securityContext"].pop("readOnlyRootFilesystem"))),
    (policy.has_a_read_only_root, of_pod(lambda it: it["volumes"].append({"name": "x", "hostPath": {"path": "/"}}))),
    (policy.has_a_read_only_root, of_pod(lambda it: it["volumes"].append({"name": "x", "emptyDir": {}}))),
    (policy.has_no_token, of_pod(lambda it: it.pop("automountServiceAccountToken"))),
    (policy.has_no_token, of_pod(lambda it: it.update(enableServiceLinks=True))),
    (policy.has_no_token, of_pod(lambda it: it.update(serviceAccountName="default"))),
    (policy.has_no_token, within("ServiceAccount", "payment-web", lambda it: it.pop("automountServiceAccountToken"))),
    (policy.runs_a_named_version, of_container(lambda it: it.update(image="ecert/payment"))),
    (policy.runs_a_named_version, of_container(lambda it: it.update(image="ecert/payment:latest"))),
    (policy.survives_a_drain, within("PodDisruptionBudget", "payment-web", lambda it: it["spec"].update(selector={}))),
    (
        policy.survives_a_drain,
        within("PodDisruptionBudget", "payment-web", lambda it: it["spec"].pop("maxUnavailable")),
    ),
    (policy.is_spread, of_pod(lambda it: it.pop("topologySpreadConstraints"))),
    (policy.is_spread, of_pod(lambda it: it["topologySpreadConstraints"][1]["labelSelector"]["matchLabels"].popitem())),
    (policy.is_closed_off, within("NetworkPolicy", "default-deny", lambda it: it["spec"]["policyTypes"].pop())),
    (policy.is_closed_off, within("NetworkPolicy", "metrics", lambda it: it["spec"].pop("policyTypes"))),
    (policy.is_closed_off, within("NetworkPolicy", "default-deny", lambda it: it["spec"].update(ingress=[{}]))),
    (policy.has_its_rank, of_pod(lambda it: it.update(priorityClassName="system-node-critical"))),
    (policy.scales_by_one_hand, within(*WEB, lambda it: it["spec"].update(replicas=3))),
    (
        policy.scales_by_one_hand,
        within(
            "HorizontalPodAutoscaler",
            "payment-web",
            lambda it: it["spec"]["behavior"]["scaleDown"].update(stabilizationWindowSeconds=0),
        ),
    ),
    (policy.scales_by_one_hand, within("HorizontalPodAutoscaler", "payment-web", lambda it: it.update(kind="Gone"))),
    (
        policy.reads_no_more_than_there_is,
        within("ScaledObject", "payment-consume", lambda it: it["spec"].update(maxReplicaCount=13)),
    ),
    (
        policy.reads_no_more_than_there_is,
        within("ScaledObject", "payment-consume", lambda it: it["spec"].update(minReplicaCount=0)),
    ),
    (
        policy.reads_no_more_than_there_is,
        within(
            "ScaledObject",
            "payment-consume",
            lambda it: it["spec"]["triggers"][0]["metadata"].update(excludePersistentLag="false"),
        ),
    ),
    (policy.tells_no_secret, of_container(lambda it: it["env"].append({"name": "KAFKA_PASSWORD", "value": "x"}))),
    (
        policy.tells_no_secret,
        within("ConfigMap", "payment-config", lambda it: it["data"].update(SMTP_URL="smtp://a:b@c")),
    ),
    (policy.is_restricted, within("Namespace", "ecert", lambda it: it["metadata"]["labels"].clear())),
    (policy.refers_to_what_is_there, of_pod(lambda it: it.update(serviceAccountName="nobody"))),
    (policy.refers_to_what_is_there, of_pod(lambda it: it["volumes"].pop())),
    (policy.refers_to_what_is_there, of_container(lambda it: it["envFrom"][0]["configMapRef"].update(name="none"))),
    (policy.refers_to_what_is_there, within("Service", "payment-web", lambda it: it["spec"]["selector"].popitem())),
    (
        policy.refers_to_what_is_there,
        within("Service", "payment-web", lambda it: it["spec"]["ports"][0].update(targetPort="http")),
    ),
    (
        policy.rolls_without_a_gap,
        within(*WEB, lambda it: it["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1)),
    ),
]


@pytest.mark.parametrize(
    ("rule", "slip"), SLIPS, ids=[f"{number}-{rule.__name__}" for number, (rule, _) in enumerate(SLIPS)]
)
def test_planted_fault_is_found(production: Rendered, rule: Rule, slip: Callable[[Rendered], object]) -> None:
    made = production.broken()
    slip(made)
    assert list(rule(made)) != []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _ in SLIPS} == set(policy.RULES)

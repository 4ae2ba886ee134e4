"""Every object is what Kubernetes and its operators publish: no unknown field, no wrong value."""

import copy
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from tests.contract.k8s.rendering import OVERLAYS, Object, Rendered, check_custom, name, render

VERSION = "1.37.0"
BUILT_IN = ("v1", "apps/", "batch/", "policy/", "autoscaling/", "networking.k8s.io/", "scheduling.k8s.io/")


def is_built_in(each: Object) -> bool:
    return str(each["apiVersion"]).startswith(BUILT_IN)


@cache
def schema(file: str) -> Any:
    """Return the validator of an object's kind, cached: kubernetes-validate reads all definitions again each time."""
    return schema_contents(f"kubernetes-json-schema/v{VERSION}-local-strict/{file}.json", VERSION)


def judge(each: Object) -> None:
    """Validate an object. Raises ValidationError if it is invalid. Unknown kinds are no excuse."""
    group, _, version = str(each["apiVersion"]).rpartition("/")
    kind = schema("-".join(filter(None, (each["kind"].lower(), group.partition(".")[0], version))))
    registry: Registry[Any] = Resource.from_contents(schema("_definitions")) @ Registry()
    Draft202012Validator(kind, registry=registry).validate(each)


def test_every_kubernetes_object_is_valid(rendered: Rendered) -> None:
    for each in filter(is_built_in, rendered.objects):
        judge(each)


def test_every_object_is_in_our_namespace_or_in_none(rendered: Rendered) -> None:
    nowhere = {each["kind"] for each in rendered.objects if "namespace" not in each["metadata"]}
    assert nowhere == {"Namespace", "PriorityClass"}
    assert {each["metadata"].get("namespace", "ecert") for each in rendered.objects} == {"ecert"}


def broken(each: Object, path: str, value: Any) -> Object:
    """Return a copy with another value at this path; a new last part is a new field."""
    made = copy.deepcopy(each)
    *parents, last = path.split("/")
    reduce(lambda at, part: at[int(part) if isinstance(at, list) else part], parents, made)[last] = value
    return made


@pytest.mark.parametrize(
    ("kind", "which", "path", "value"),
    [
        ("Deployment", "payment-web", "spec/template/spec/termnationGracePeriodSeconds", 40),
        ("Deployment", "payment-web", "spec/replicas", "two"),
        ("NetworkPolicy", "default-deny", "spec/podselector", {}),
        ("PodDisruptionBudget", "payment-web", "spec/maxUnavailble", 1),
    ],
)
def test_planted_fault_in_a_kubernetes_object_is_found(
    production: Rendered, kind: str, which: str, path: str, value: Any
) -> None:
    with pytest.raises(ValidationError):
        judge(broken(production.one(kind, which), path, value))


SLIPS: Mapping[str, tuple[str, str, str, Any]] = {
    "keda: an unknown field": ("ScaledObject", "payment-consume", "spec/maxReplicasCount", 3),
    "keda: a word for a number": ("ScaledObject", "payment-consume", "spec/minReplicaCount", "one"),
    "cloudnative-pg: an unknown field": ("Cluster", "payment-db", "spec/postgresql/synchronus", {}),
    "cloudnative-pg: no such durability": ("Cluster", "payment-db", "spec/postgresql/synchronous/method", "some"),
    "strimzi: no such role": ("KafkaNodePool", "broker", "spec/roles", ["leader"]),
    "strimzi: an unknown field": ("KafkaUser", "payment", "spec/authorization/acl", []),
    "gateway: an unknown field": ("ClientTrafficPolicy", "sign-in", "spec/headers/xForwardedClientCerts", {}),
    "gateway: no such mode": ("ClientTrafficPolicy", "sign-in", "spec/headers/xForwardedClientCert/mode", "Sanitise"),
    "gateway-api: no such match": ("HTTPRoute", "api", "spec/rules/0/matches/0/path/type", "Prefix"),
    "cert-manager: an unknown field": ("Certificate", "payment-web", "spec/dnsName", "payment"),
    "external-secrets: an unknown field": ("ExternalSecret", "mailing-smtp", "spec/refreshIntervall", "1h"),
}


def test_custom_resources_match_their_published_schemas_and_planted_faults_are_found() -> None:
    good = [
        (f"{overlay}: {each['kind']} {name(each)}", each)
        for overlay in OVERLAYS
        for each in render(overlay).objects
        if not is_built_in(each)
    ]
    made = render("production")
    bad = [(slip, broken(made.one(kind, which), path, value)) for slip, (kind, which, path, value) in SLIPS.items()]
    found = dict(check_custom([*good, *bad]))
    assert {which: error for which, error in found.items() if which not in SLIPS} == {}
    assert set(SLIPS) - set(found) == set()

"""The capacity tables of docs/operations.md follow from what was measured and from what the manifests allow."""

from benchmarks import capacity
from shared.events.base import Topic
from tests.contract.k8s.rendering import Rendered, environment, labels, name


def test_capacity_document_has_the_measured_figures() -> None:
    assert capacity.DOCUMENT.read_text("utf-8") == capacity.document(), "make docs"


def test_every_scalable_process_was_measured(production: Rendered) -> None:
    measured = capacity.Measured.read().processors
    deployed = {name(each) for each in production.ours() if each["kind"] == "Deployment"}
    assert {each for each in deployed if capacity.kind_of(each) in capacity.MAX_PODS} == set(measured)


def test_pods_are_counted_between_the_manifests_limits(production: Rendered) -> None:
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]
        for each in production.of("HorizontalPodAutoscaler", "ScaledObject")
    }
    for each in production.ours():
        kind = labels(each).get("app.kubernetes.io/component", "")
        if each["kind"] == "Deployment" and kind in capacity.MAX_PODS:
            spec, alone = scaled.get(name(each), {}), each["spec"]["replicas"] if name(each) not in scaled else 0
            fewest = alone or spec.get("minReplicas") or spec["minReplicaCount"]
            most = alone or spec.get("maxReplicas") or spec["maxReplicaCount"]
            assert (fewest, most) == (capacity.MIN_PODS[kind], capacity.MAX_PODS[kind]), name(each)


def test_engine_sizes_are_those_of_the_manifests(production: Rendered) -> None:
    for each in production.of("Cluster"):
        spec = each["spec"]
        assert int(spec["postgresql"]["parameters"]["max_connections"]) == capacity.MAX_CONNECTIONS
        assert spec["storage"] == {"size": f"{capacity.DATABASE_GIB}Gi"}
    (volume,) = production.one("KafkaNodePool", "broker")["spec"]["storage"]["volumes"]
    assert volume["size"] == f"{capacity.BROKER_GIB}Gi"
    days = {
        name(each): int(each["spec"]["config"]["retention.ms"]) / 86_400_000 for each in production.of("KafkaTopic")
    }
    backups = {int(each["spec"]["backup"]["retentionPolicy"].rstrip("d")) for each in production.of("Cluster")}
    assert days.pop(Topic.EVIDENCE) > max(backups), "a restore to the oldest backup loses no evidence"
    assert {*days.values()} == {capacity.KAFKA_DAYS}
    web = [each for each in production.ours() if name(each).endswith("-web")]
    assert {int(environment(production, each)["WEB_THREADS"]) + 2 for each in web if name(each) != "portal-web"} == {
        capacity.POOL["web"]
    }

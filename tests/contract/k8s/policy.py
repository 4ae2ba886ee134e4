"""Policy for every pod and every Deployment: one function for each rule, which yields the faults."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

from deploy.kafka.topics import PARTITIONS
from tests.contract.k8s.reach import selects
from tests.contract.k8s.rendering import Object, Rendered, container, containers, labels, long_lived, name, pod

# Its start writes into the image's own folder; only on a laptop.
WRITES_ITS_ROOT: Final = ("kafka",)
Rule = Callable[[Rendered], Iterator[str]]
SCALED: Final = ("web", "feed", "consume", "work")
LONG_LIVED: Final = ("Deployment", "StatefulSet")


def asks_and_is_limited(rendered: Rendered) -> Iterator[str]:
    """Require requests of CPU and memory, and a memory limit; no CPU limit, which slows down a pod that has room."""
    for each in rendered.workloads():
        for one in containers(each):
            resources = one.get("resources", {})
            for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if what not in resources.get(kind, {}):
                    yield f"{name(each)}, {one['name']}: no {what} in {kind}"


def is_probed(rendered: Rendered) -> Iterator[str]:
    """Yield what runs for long is asked whether it has started, lives and is ready."""
    for each in rendered.of(*LONG_LIVED):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            yield from (f"{name(each)}, {one['name']}: no {probe}" for one in long_lived(each) if probe not in one)


def has_no_privilege(rendered: Rendered) -> Iterator[str]:
    """Yield pod Security "restricted", said by each pod itself."""
    for each in rendered.workloads():
        spec = pod(each)
        whole = spec.get("securityContext", {})
        if not whole.get("runAsNonRoot") or not whole.get("runAsUser"):
            yield f"{name(each)}: may be root"
        if whole.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name(each)}: may call anything of the kernel"
        for mine in (one.get("securityContext", {}) for one in containers(each)):
            if mine.get("allowPrivilegeEscalation") is not False or mine.get("privileged"):
                yield f"{name(each)}: may become more than it is"
            if mine.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name(each)}: keeps capabilities"
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name(each)}: shares the node's own"


def has_a_read_only_root(rendered: Rendered) -> Iterator[str]:
    """Require read-only file systems but for named volumes, and a size for those in memory."""
    for each in rendered.workloads():
        read_only = all(one.get("securityContext", {}).get("readOnlyRootFilesystem") for one in containers(each))
        if not read_only and name(each) not in WRITES_ITS_ROOT:
            yield f"{name(each)}: can write its root"
        for volume in pod(each).get("volumes", ()):
            if "hostPath" in volume:
                yield f"{name(each)}: sees the node's files"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name(each)}: {volume['name']} has no limit"


def has_no_token(rendered: Rendered) -> Iterator[str]:
    """Require no access to the API server, and a service account for each of our pods."""
    for each in rendered.of("ServiceAccount"):
        if each.get("automountServiceAccountToken") is not False:
            yield f"{name(each)}: hands its token to its pods"
    for each in rendered.workloads():
        if (
            pod(each).get("automountServiceAccountToken") is not False
            or pod(each).get("enableServiceLinks") is not False
        ):
            yield f"{name(each)}: is told of the cluster"
    ours = [each for each in rendered.ours() if "sandbox" not in name(each)]
    for each in ours:
        if pod(each).get("serviceAccountName") != name(each):
            yield f"{name(each)}: runs as {pod(each).get('serviceAccountName')}"


def runs_a_named_version(rendered: Rendered) -> Iterator[str]:
    """Yield which image runs is said by tag or digest, and it is not the latest."""
    for each in rendered.workloads():
        for last in (str(one["image"]).rpartition("/")[2] for one in containers(each)):
            if last.endswith(":latest") or not ("@sha256:" in last or ":" in last):
                yield f"{name(each)}: {last}"


def survives_a_drain(rendered: Rendered) -> Iterator[str]:
    """Require one disruption budget for each Deployment, for one pod at a time."""
    budgets = rendered.of("PodDisruptionBudget")
    for each in rendered.of("Deployment"):
        mine = [budget for budget in budgets if selects(budget["spec"]["selector"], labels(each))]
        if [budget["spec"].get("maxUnavailable") for budget in mine] != [1]:
            yield f"{name(each)}: {len(mine)} budgets"


def is_spread(rendered: Rendered) -> Iterator[str]:
    """Yield not all on one machine; the constraint counts the Deployment's own pods and no others."""
    for each in rendered.of("Deployment"):
        constraints = pod(each).get("topologySpreadConstraints", ())
        if "kubernetes.io/hostname" not in {constraint["topologyKey"] for constraint in constraints}:
            yield f"{name(each)}: may be all on one machine"
        for constraint in constraints:
            if constraint["labelSelector"]["matchLabels"] != each["spec"]["selector"]["matchLabels"]:
                yield f"{name(each)}: counts other pods as its own"


def is_closed_off(rendered: Rendered) -> Iterator[str]:
    """Require that all traffic is denied, and that each workload has a policy for what it needs."""
    policies = rendered.of("NetworkPolicy")
    deny = [each for each in policies if each["spec"]["podSelector"] == {} and not _opens(each)]
    if {way for each in deny for way in each["spec"]["policyTypes"]} != {"Ingress", "Egress"}:
        yield "nothing denies everything, both ways"
    for each in rendered.workloads():
        if not any(_opens(policy) and selects(policy["spec"]["podSelector"], labels(each)) for policy in policies):
            yield f"{name(each)}: no policy"
    for each in policies:
        if not each["spec"].get("policyTypes"):
            yield f"{name(each)}: does not say which way"


def has_its_rank(rendered: Rendered) -> Iterator[str]:
    """Require a priority class, which decides who is evicted first."""
    ranks = {name(each) for each in rendered.of("PriorityClass")}
    for each in rendered.workloads():
        if pod(each).get("priorityClassName") not in ranks:
            yield f"{name(each)}: no priority class"


def scales_by_one_hand(rendered: Rendered) -> Iterator[str]:
    """Require no number of replicas where something scales a Deployment, and a slow scale-down."""
    for each in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec = each["spec"]
        behavior = spec.get("behavior") or spec.get("advanced", {})["horizontalPodAutoscalerConfig"]["behavior"]
        if behavior["scaleDown"]["stabilizationWindowSeconds"] < 300:
            yield f"{name(each)}: takes pods away at once"
        target = rendered.one("Deployment", spec["scaleTargetRef"]["name"])
        if "replicas" in target["spec"]:
            yield f"{name(target)}: two say how many"
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in rendered.of("HorizontalPodAutoscaler", "ScaledObject")]
    wanted = {
        name(each) for each in rendered.of("Deployment") if labels(each).get("app.kubernetes.io/component") in SCALED
    }
    if rendered.overlay == "production" and sorted(scaled) != sorted(wanted):
        yield f"scaled are {sorted(scaled)}"


def reads_no_more_than_there_is(rendered: Rendered) -> Iterator[str]:
    """Yield consumers: at least one, no more than partitions; lag that no member can work off adds none."""
    for each in rendered.of("ScaledObject"):
        spec = each["spec"]
        if not 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] <= PARTITIONS:
            yield f"{name(each)}: {spec['minReplicaCount']} to {spec['maxReplicaCount']}"
        for trigger in spec["triggers"]:
            told = trigger["metadata"]
            if told["excludePersistentLag"] != "true" or told["allowIdleConsumers"] != "false":
                yield f"{name(each)}: more members for a lag that stays"


def tells_no_secret(rendered: Rendered) -> Iterator[str]:
    """Require that passwords, keys and addresses with one come from a Secret, and are in no manifest."""
    words = ("PASSWORD", "SECRET", "_KEY", "DATABASE_URL", "SMTP_URL")
    plain: dict[str, Mapping[str, Any]] = {
        name(each): {v["name"]: v["value"] for v in container(each).get("env", ()) if "value" in v}
        for each in rendered.workloads()
    }
    plain |= {name(each): each["data"] for each in rendered.of("ConfigMap")}
    for where, variables in plain.items():
        for variable in variables:
            if any(word in variable for word in words) and not variable.endswith(("_FILE", "_FILES")):
                yield f"{where}: {variable}"
    if rendered.of("Secret"):
        yield "a Secret stands in the manifests"


def is_restricted(rendered: Rendered) -> Iterator[str]:
    """Require that the namespace enforces the restricted standard for pods."""
    for each in rendered.of("Namespace"):
        if each["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name(each)}: enforces nothing"


def refers_to_what_is_there(rendered: Rendered) -> Iterator[str]:
    """Require that all named ConfigMaps, claims, accounts and ports exist."""
    there = {(each["kind"], name(each)) for each in rendered.objects}
    for each in rendered.workloads():
        spec = pod(each)
        named = [("ServiceAccount", spec["serviceAccountName"])] if "serviceAccountName" in spec else []
        named += [("ConfigMap", source["configMapRef"]["name"]) for source in container(each).get("envFrom", ())]
        for volume in spec.get("volumes", ()):
            named += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
            claim = volume.get("persistentVolumeClaim")
            named += [("PersistentVolumeClaim", claim["claimName"])] if claim else []
        yield from (f"{name(each)}: no {kind} {wanted}" for kind, wanted in named if (kind, wanted) not in there)
        mounted = {mount["name"] for one in containers(each) for mount in one.get("volumeMounts", ())}
        claims = (claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ()))
        volumes = {*(volume["name"] for volume in spec.get("volumes", ())), *claims}
        if mounted != volumes:
            yield f"{name(each)}: mounts {mounted ^ volumes}"
    for service in rendered.of("Service"):
        targets = [each for each in rendered.workloads() if _matches(service["spec"]["selector"], labels(each))]
        ports = set(chain.from_iterable(_port_names(each) for each in targets))
        wanted = {port["targetPort"] for port in service["spec"]["ports"]}
        if len(targets) != 1 or not wanted <= ports:
            yield f"service {name(service)}: leads to {[name(each) for each in targets]}, ports {wanted - ports}"


def rolls_without_a_gap(rendered: Rendered) -> Iterator[str]:
    """Require that a web process is replaced only after its successor is ready."""
    for each in rendered.of("Deployment"):
        rolling = each["spec"].get("strategy", {}).get("rollingUpdate", {})
        if labels(each).get("app.kubernetes.io/component") in ("web", "feed") and rolling.get("maxUnavailable") != 0:
            yield f"{name(each)}: is away while it is replaced"


RULES: Final = (
    asks_and_is_limited,
    is_probed,
    has_no_privilege,
    has_a_read_only_root,
    has_no_token,
    runs_a_named_version,
    survives_a_drain,
    is_spread,
    is_closed_off,
    has_its_rank,
    scales_by_one_hand,
    reads_no_more_than_there_is,
    tells_no_secret,
    is_restricted,
    refers_to_what_is_there,
    rolls_without_a_gap,
)


def _port_names(each: Object) -> set[str]:
    return {port["name"] for port in container(each).get("ports", ())}


def _opens(policy: Object) -> bool:
    return bool(policy["spec"].get("ingress") or policy["spec"].get("egress"))


def _matches(wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return set(wanted.items()) <= set(found.items())

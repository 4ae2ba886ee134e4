"""The list of known weak keys has a volume that can be written by one pod and read on many nodes."""

import yaml

from tests.contract.k8s import policy
from tests.contract.k8s.rendering import K8S, Object, Rendered, container, image, name, pod
from tests.contract.k8s.test_valid import judge

FILLER = K8S / "overlays" / "production" / "weak-keys" / "filler.yaml"
RULES = (policy.asks_and_is_limited, policy.has_no_privilege, policy.has_a_read_only_root, policy.runs_a_named_version)


def claims(each: Object) -> list[bool]:
    """Return whether each of its claims on the list is for reading only."""
    found = (volume.get("persistentVolumeClaim", {}) for volume in pod(each).get("volumes", ()))
    return [claim.get("readOnly", False) for claim in found if claim.get("claimName") == "weak-keys"]


def test_weak_key_job_is_admitted_and_writes_where_issuance_reads(production: Rendered) -> None:
    made = yaml.safe_load(FILLER.read_text("utf-8"))
    judge(made)
    filler = {"kind": "Pod", "metadata": made["metadata"], "spec": {"template": made}}
    for rule in RULES:
        assert list(rule(Rendered("production", ({**filler, "kind": "Job"},)))) == []
    assert image(filler) == image(production.one("Deployment", "issuance-web"))
    assert claims(filler) == [False]
    assert "labels" not in made["metadata"], "it would be let through the network"
    reads = {name(each): claims(each) for each in production.workloads() if claims(each)}
    assert reads == {"issuance-web": [True], "issuance-work": [True]}


def test_weak_key_volume_is_readable_from_many_nodes(production: Rendered) -> None:
    assert production.one("PersistentVolumeClaim", "weak-keys")["spec"]["accessModes"] == ["ReadWriteMany"]
    for which in ("issuance-web", "issuance-work"):
        mounts = container(production.one("Deployment", which))["volumeMounts"]
        assert {"name": "weak-keys", "mountPath": "/etc/ecert/weak-keys", "readOnly": True} in mounts

"""`kubectl kustomize OVERLAY | python -m deploy.k8s.reconciliation`: the CronJobs that export and compare every night.

Each pod has the image, settings, Secrets and network access of its service's pods: an export reads one database and
signs with one key. All share one volume, to which every export writes and which `reconcile` reads.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from deploy.k8s.one_off import PROBES
from deploy.postgres.roles import DESK, SERVICES, package

Object = dict[str, Any]

VOLUME: Final = "reconciliation"
FOLDER: Final = "/reconciliation"
KEYS_SECRET: Final = "audit-public-keys"  # noqa: S105 (its name)
KEYS: Final = "/etc/ecert/audit-keys"
EXPORT_AT: Final = "30 2 * * *"
# After every export: an hour is enough for millions of renewals, and a missing extract is an error.
COMPARE_AT: Final = "30 3 * * *"
# A day less than the topics' retention: older events were compared before.
RETAINED_DAYS: Final = "29"
# All volumes of an export: neither the CA's key nor the PIN pepper, which its service's `work` has.
_OPENED: Final = {
    *("tmp", "audit", "database-ca"),
    *("identity-public-keys", "application-public-keys", "payment-public-keys", "feed-public-keys"),
}
_HOURS: Final = 3600


def manifests(objects: Sequence[Mapping[str, Any]]) -> list[Object]:
    """Return the objects of the nightly reconciliation, beside those of the overlay."""
    deployments = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Deployment"}
    namespace = deployments[f"{DESK}-work"]["metadata"]["namespace"]
    exports = [_export(service, deployments, namespace) for service in SERVICES]
    return [_volume(namespace), _keys(namespace), *exports, _reconcile(deployments, namespace)]


def _volume(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": VOLUME, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "20Gi"}}},
    }


def _keys(namespace: str) -> Object:
    """Return the public audit keys: SERVICE-audit-jwks.json of each service, from an entry of the vault."""
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": KEYS_SECRET, "namespace": namespace},
        "spec": {
            "refreshInterval": "15m",
            "secretStoreRef": {"kind": "SecretStore", "name": "vault"},
            "target": {"name": KEYS_SECRET},
            "dataFrom": [{"extract": {"key": f"ecert/{KEYS_SECRET}"}}],
        },
    }


def _export(service: str, deployments: Mapping[str, Any], namespace: str) -> Object:
    """Return the export of one service: `work` has the audit key, `consume` the keys of its subscriptions."""
    template = _template(deployments, f"{service}-work", f"{service}-consume")
    spec, container = template["spec"], _container(template)
    spec["volumes"] = [each for each in spec["volumes"] if each["name"] in {*_OPENED, VOLUME}]
    container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] in {*_OPENED, VOLUME}]
    output = f"{FOLDER}/{service}.jsonl"
    container["args"] = [f"{package(service)}.main", "export", "--actor", "reconciliation", "--output", output]
    return _cron_job(f"{service}-export", EXPORT_AT, template, namespace)


def _reconcile(deployments: Mapping[str, Any], namespace: str) -> Object:
    """Return the comparison: the desk may read all topics except the sealed PINs'."""
    template = _template(deployments, f"{DESK}-consume")
    compare = _container(template)
    _mount(template, "audit-keys", {"secret": {"secretName": KEYS_SECRET}}, KEYS, read_only=True)
    # The records of a million renewals are gigabytes: too much for a /tmp in memory.
    compare["env"].append({"name": "TMPDIR", "value": FOLDER})
    topics = json.loads(json.dumps(compare)) | {"name": "topics"}
    module, file = "backoffice.reconciliation.main", f"{FOLDER}/topics.jsonl"
    topics["args"] = [module, "topics", "--output", file]
    compare["args"] = [module, "compare", "--extracts", FOLDER, "--keys", KEYS, "--topics", file]
    compare["args"] += ["--earlier", f"{FOLDER}/earlier", "--keep-earlier", "--retained-days", RETAINED_DAYS]
    template["spec"]["initContainers"] = [topics]
    return _cron_job("reconcile", COMPARE_AT, template, namespace)


def _template(deployments: Mapping[str, Any], name: str, *others: str) -> Object:
    """Return the pod template of a Deployment, with the volumes and variables of others that exist."""
    template: Object = json.loads(json.dumps(deployments[name]["spec"]["template"]))
    for other in others:
        if other in deployments:
            _add_missing(template, deployments[other]["spec"]["template"])
    container = _container(template)
    for key in (*PROBES, "ports"):
        container.pop(key, None)
    container["resources"] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    template["spec"].pop("topologySpreadConstraints", None)
    template["spec"]["restartPolicy"] = "Never"
    _mount(template, VOLUME, {"persistentVolumeClaim": {"claimName": VOLUME}}, FOLDER)
    return template


def _add_missing(template: Object, other: Mapping[str, Any]) -> None:
    mine, theirs = _container(template), _container(other)
    for key in ("env", "volumeMounts"):
        known = {each["name"] for each in mine.get(key, ())}
        mine.setdefault(key, []).extend(each for each in theirs.get(key, ()) if each["name"] not in known)
    volumes = template["spec"].setdefault("volumes", [])
    known = {each["name"] for each in volumes}
    volumes.extend(each for each in other["spec"].get("volumes", ()) if each["name"] not in known)


def _container(template: Mapping[str, Any]) -> Object:
    (container,) = template["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _mount(template: Object, name: str, source: Object, path: str, *, read_only: bool = False) -> None:
    template["spec"].setdefault("volumes", []).append({"name": name, **source})
    mount = {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}
    _container(template).setdefault("volumeMounts", []).append(mount)


def _cron_job(name: str, schedule: str, template: Object, namespace: str) -> Object:
    job = {"backoffLimit": 2, "activeDeadlineSeconds": _HOURS, "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "schedule": schedule,
            "timeZone": "Asia/Hong_Kong",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": _HOURS,
            "jobTemplate": {"spec": job},
        },
    }


def main() -> None:
    """Print the manifests as one List for the overlay on standard input."""
    given: Iterable[Any] = yaml.safe_load_all(sys.stdin)
    items = manifests([each for each in given if each])
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))


if __name__ == "__main__":
    main()

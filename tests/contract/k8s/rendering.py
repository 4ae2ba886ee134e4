"""An overlay as it would be applied: its objects, and the environment of its pods."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.images.build import NEIGHBOURS

ROOT: Final = Path(__file__).parents[3]
K8S: Final = ROOT / "deploy" / "k8s"
OVERLAYS: Final = ("dev", "production")
_SCHEMAS: Final = Path(__file__).parent / "schemas"

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """The objects of one overlay."""

    overlay: str
    objects: tuple[Object, ...]

    def of(self, *kinds: str) -> list[Object]:
        """Return all objects of these kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        """Return the object of this kind and name; of a generated ConfigMap the name without its hash."""
        found = [each for each in self.of(kind) if _plain(each) == name]
        assert len(found) == 1, f"{len(found)} objects are {kind} {name}"
        return found[0]

    def workloads(self) -> list[Object]:
        """Return everything that makes pods by itself; a CronJob as the job that it makes."""
        return [*self.of("Deployment", "StatefulSet", "Job"), *map(job_of, self.of("CronJob"))]

    def ours(self) -> list[Object]:
        """Return the workloads that run our code, but for what stands for the world outside."""
        return [
            each
            for each in self.workloads()
            if (image(each).rpartition("/ecert/")[1] or image(each)[:6] == "ecert/") and name(each) not in NEIGHBOURS
        ]

    def broken(self) -> "Rendered":
        """Return a copy that a test may break."""
        return Rendered(self.overlay, copy.deepcopy(self.objects))


def job_of(cron_job: Object) -> Object:
    """Return the job that a CronJob makes, in the shape of other workloads."""
    return {"kind": "Job", "metadata": cron_job["metadata"], "spec": cron_job["spec"]["jobTemplate"]["spec"]}


def image(workload: Object) -> str:
    """Return what its one container runs."""
    return str(container(workload)["image"])


def container(workload: Object) -> Object:
    """Return its one container."""
    (found,) = pod(workload)["containers"]
    assert isinstance(found, dict)
    return found


def containers(workload: Object) -> list[Object]:
    """Return its container and the sidecars, which Kubernetes lists among those that run first."""
    return [*pod(workload)["containers"], *pod(workload).get("initContainers", ())]


def long_lived(workload: Object) -> list[Object]:
    """Return its containers but for those that end before the others begin."""
    return [
        one
        for one in containers(workload)
        if one in pod(workload)["containers"] or one.get("restartPolicy") == "Always"
    ]


def is_perspective(workload: Object) -> bool:
    """Return whether it is a perspective, which is in no table of the services."""
    return labels(workload).get("app.kubernetes.io/name") == "perspective"


def pod(workload: Object) -> Object:
    """Return the pod's spec."""
    found = workload["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


def labels(workload: Object) -> Mapping[str, str]:
    """Return the pods' labels."""
    found = workload["spec"]["template"]["metadata"]["labels"]
    assert isinstance(found, dict)
    return found


def name(each: Object) -> str:
    """Return its name."""
    return str(each["metadata"]["name"])


def _plain(each: Object) -> str:
    full = name(each)
    head, _, end = full.rpartition("-")
    return head if each["kind"] == "ConfigMap" and len(end) == 10 and end.isalnum() and head else full


def environment(rendered: Rendered, workload: Object) -> dict[str, str]:
    """Return all variables of its container; a value from a Secret is written SECRET/KEY."""
    told: dict[str, str] = {}
    for source in container(workload).get("envFrom", ()):
        reference = source["configMapRef"]["name"]
        (found,) = (each for each in rendered.of("ConfigMap") if name(each) == reference)
        told |= found["data"]
    for variable in container(workload).get("env", ()):
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        told[variable["name"]] = variable["value"] if secret is None else f"{secret['name']}/{secret['key']}"
    return told


def secrets(workload: Object) -> set[str]:
    """Return the names of all Secrets that its pods see."""
    volumes = pod(workload).get("volumes", ())
    found = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    for volume in volumes:
        found |= {each["secret"]["name"] for each in volume.get("projected", {}).get("sources", ())}
    variables = (each.get("valueFrom", {}).get("secretKeyRef") for each in container(workload).get("env", ()))
    return found | {each["name"] for each in variables if each}


@cache
def render(overlay: str) -> Rendered:
    """Return what `kubectl kustomize` makes of it; `traced` is production with a trace collector."""
    folder = K8S / "overlays" / overlay
    folder = folder if folder.is_dir() else Path(__file__).parent / overlay
    kubectl = Path(sys.executable).with_name("kubectl")
    command = (str(kubectl), "kustomize", str(folder))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return Rendered(overlay, tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)))


def check_custom(objects: Iterable[tuple[str, Object]]) -> Iterator[tuple[str, str]]:
    """Return the id and error of each custom resource that does not fit its operator's published type."""
    assert (_SCHEMAS / "node_modules").exists(), "The types are missing: `make test` installs them"
    node = shutil.which("node", path=str(Path(sys.executable).parent))
    assert node is not None
    given = json.dumps([{"id": which, "object": each} for which, each in objects])
    done = subprocess.run((node, str(_SCHEMAS / "check.mjs")), input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for found in json.loads(done.stdout):
        yield found["id"], found["error"]

"""`kubectl get deployment … -o json | python -m deploy.k8s.one_off NAME MODULE COMMAND …`: a pod for one command.

The pod has the image, settings, Secrets and network access of the Deployment's pods, but runs once.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle")


def pod(deployment: Mapping[str, Any], name: str, command: Sequence[str]) -> dict[str, Any]:
    """Return the pod. Raises ValueError for a Deployment behind a Service: this pod would receive requests."""
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    spec = template["spec"]
    (container,) = spec["containers"]
    if [port["name"] for port in container["ports"]] != ["admin"]:
        raise ValueError(
            f"{deployment['metadata']['name']} answers requests; take its service's relay, consume or work"
        )
    container["args"] = [*command]
    for key in PROBES:
        container.pop(key, None)
    metadata = {
        "name": name,
        "namespace": deployment["metadata"]["namespace"],
        "labels": template["metadata"]["labels"],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "restartPolicy": "Never"}}


def main() -> None:
    """Print the pod for the Deployment on standard input."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.one_off", description=__doc__)
    parser.add_argument("name", help="name of the pod")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="services.SERVICE.main COMMAND …")
    options = parser.parse_args()
    print(json.dumps(pod(json.load(sys.stdin), options.name, options.command)))


if __name__ == "__main__":
    main()

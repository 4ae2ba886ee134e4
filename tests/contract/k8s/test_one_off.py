"""A pod for one command: admitted as its Deployment's pods are, with their ways out; no Service leads to it."""

import json
import subprocess
import sys

import pytest

from deploy.k8s import one_off
from tests.contract.k8s import policy
from tests.contract.k8s.rendering import Object, Rendered, labels, name
from tests.contract.k8s.test_valid import judge

RECALL = ("services.payment.main", "recall", "--actor", "somebody")


def made(deployment: Object) -> Object:
    command = (sys.executable, "-m", "deploy.k8s.one_off", "recall", *RECALL)
    done = subprocess.run(command, input=json.dumps(deployment), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_one_off_pod_is_like_the_deployments_and_ends_after_the_command(production: Rendered) -> None:
    relay = production.one("Deployment", "payment-relay")
    pod = made(relay)
    judge(pod)
    (container,) = pod["spec"]["containers"]
    assert (container["args"], pod["spec"]["restartPolicy"]) == ([*RECALL], "Never")
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("recall", "ecert")
    assert pod["metadata"]["labels"] == labels(relay)
    assert not set(container) & {"startupProbe", "livenessProbe", "readinessProbe"}
    job = {"kind": "Job", "metadata": relay["metadata"], "spec": {"template": pod}}
    alone = Rendered("production", (job,))
    for rule in (policy.has_no_privilege, policy.has_a_read_only_root, policy.runs_a_named_version):
        assert list(rule(alone)) == []


def test_one_off_pod_is_not_made_from_a_web_deployment(production: Rendered) -> None:
    for each in production.of("Deployment"):
        if name(each).endswith(("-web", "-operate", "-feed")):
            with pytest.raises(ValueError, match="answers requests"):
                one_off.pod(each, "recall", RECALL)

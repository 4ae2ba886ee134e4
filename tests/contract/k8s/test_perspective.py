"""The overlay of a perspective alone in its cluster: policy, flows, settings, and its resolver's configuration."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.images.build import IMAGES, RESOLVER
from deploy.local.waiting import free_port, wait_until
from perspective import settings
from perspective.addresses import is_permitted
from shared.settings import SettingsError
from shared.web import gunicorn_server
from tests.contract.k8s import policy, reach
from tests.contract.k8s.reach import Flow, Peer
from tests.contract.k8s.rendering import (
    Object,
    Rendered,
    check_custom,
    container,
    containers,
    environment,
    labels,
    name,
    pod,
    render,
    secrets,
)
from tests.contract.k8s.test_valid import is_built_in, judge

NAMESPACE: Final = "ecert-perspective"
Change = Callable[[Any], object]


@pytest.fixture
def alone() -> Rendered:
    return render("perspective")


def deployment(rendered: Rendered) -> Object:
    return rendered.one("Deployment", "perspective")


def sidecar(rendered: Rendered) -> Object:
    (found,) = pod(deployment(rendered))["initContainers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_perspective_satisfies_the_policy(alone: Rendered, rule: policy.Rule) -> None:
    assert list(rule(alone)) == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (policy.asks_and_is_limited, lambda it: it["resources"]["limits"].clear()),
        (policy.is_probed, lambda it: it.pop("livenessProbe")),
        (policy.has_no_privilege, lambda it: it["securityContext"].update(privileged=True)),
        (policy.has_no_privilege, lambda it: it["securityContext"]["capabilities"].update(add=["NET_BIND_SERVICE"])),
        (policy.has_a_read_only_root, lambda it: it["securityContext"].pop("readOnlyRootFilesystem")),
        (policy.runs_a_named_version, lambda it: it.update(image="ecert/resolver")),
        (policy.refers_to_what_is_there, lambda it: it["volumeMounts"].pop(0)),
    ],
)
def test_planted_fault_in_the_sidecar_is_found(alone: Rendered, rule: policy.Rule, change: Change) -> None:
    made = alone.broken()
    change(sidecar(made))
    assert list(rule(made)) != []


def test_every_object_is_valid_and_in_its_namespace(alone: Rendered) -> None:
    for each in filter(is_built_in, alone.objects):
        judge(each)
    custom = [(name(each), each) for each in alone.objects if not is_built_in(each)]
    assert dict(check_custom(custom)) == {}
    found = {each["metadata"].get("namespace") for each in alone.objects}
    assert found == {NAMESPACE, None}


def neighbours() -> Iterator[Peer]:
    """Yield who is there: others of the cluster, issuance, and the outside."""
    issuance = {"app.kubernetes.io/name": "issuance"}
    for component in ("validate", "work", "web"):
        yield Peer(name=component, namespace="ecert", labels=issuance | {"app.kubernetes.io/component": component})
    yield Peer(name="nobody", namespace=NAMESPACE)
    yield Peer(name="prometheus", namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"})
    yield Peer(name="dns", namespace="kube-system", labels={"k8s-app": "kube-dns"})
    yield Peer(name="issuance-site", namespace=None, address="198.51.100.3")
    for address in ("203.0.113.10", "10.0.0.5", "172.16.0.1", "192.168.7.7", "169.254.169.254", "100.64.0.1"):
        yield Peer(name=address, namespace=None, address=address)
    for address in ("127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"):
        yield Peer(name=address, namespace=None, address=address)


# The address of issuance's site is one of the internet.
FLOWS: Final = {
    *(Flow(source, "perspective", 8443) for source in ("issuance-site", "validate")),
    Flow("prometheus", "perspective", 9000),
    *(
        Flow("perspective", target, port, protocol)
        for target in ("203.0.113.10", "issuance-site")
        for port, protocol in ((53, "UDP"), (53, "TCP"), (80, "TCP"), (443, "TCP"))
    ),
}
PORTS: Final = {(port, protocol) for port in (22, 53, 80, 443, 5353, 8443, 9000) for protocol in ("TCP", "UDP")}


def allowed(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> set[Flow]:
    monkeypatch.setattr(reach, "NAMESPACE", NAMESPACE)
    policies = rendered.of("NetworkPolicy")
    own = Peer(name="perspective", namespace=NAMESPACE, labels=labels(deployment(rendered)))
    peers = [own, *neighbours()]
    return reach.egress(policies, peers, PORTS) | reach.ingress(policies, peers, PORTS)


def test_exactly_issuance_comes_in_and_only_public_addresses_are_reached(
    alone: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert allowed(alone, monkeypatch) == FLOWS


@pytest.mark.parametrize(
    ("which", "change"),
    [
        ("default-deny", lambda it: it["spec"].update(policyTypes=["Ingress"])),
        ("to-domains", lambda it: it["spec"]["egress"][0]["to"][0]["ipBlock"]["except"].remove("169.254.0.0/16")),
        ("to-domains", lambda it: it["spec"]["egress"][0].pop("ports")),
        ("from-issuance", lambda it: it["spec"]["ingress"][0]["from"][1].pop("podSelector")),
        ("from-issuance", lambda it: it["spec"]["ingress"][0].pop("from")),
    ],
)
def test_missing_or_surplus_flow_is_found(
    alone: Rendered, monkeypatch: pytest.MonkeyPatch, which: str, change: Change
) -> None:
    made = alone.broken()
    change(made.one("NetworkPolicy", which))
    assert allowed(made, monkeypatch) != FLOWS


def test_network_policy_excludes_nothing_that_the_process_permits(alone: Rendered) -> None:
    (rule,) = alone.one("NetworkPolicy", "to-domains")["spec"]["egress"]
    for block in rule["to"][0]["ipBlock"]["except"]:
        assert not is_permitted(ip_network(block)[1]), block


def environment_of(rendered: Rendered) -> dict[str, str]:
    return environment(rendered, deployment(rendered))


def read(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    with monkeypatch.context() as patched:
        for variable in [*os.environ]:
            patched.delenv(variable)
        for variable, value in variables.items():
            patched.setenv(variable, value)
        return settings.read()


def test_process_has_its_settings_and_none_of_a_local_system(alone: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment_of(alone)
    found = read(variables, monkeypatch)
    assert (found.environment, found.web.bind) == ("production", "0.0.0.0:8443")
    assert found.web.tls is not None
    for required in ("PERSPECTIVE_NAME", "RESOLVER_ADDRESS", "ENVIRONMENT", "TLS_CLIENT_CA_FILE"):
        with pytest.raises(SettingsError, match=required):
            read({name: value for name, value in variables.items() if name != required}, monkeypatch)
    with pytest.raises(SettingsError, match="LOCAL_NETWORKS"):
        read(variables | {"LOCAL_NETWORKS": "127.0.0.0/8"}, monkeypatch)


def test_files_of_the_settings_are_mounted_and_of_issuance_only_its_ca(alone: Rendered) -> None:
    places = {mount["mountPath"] for mount in container(deployment(alone))["volumeMounts"]}
    for variable, value in environment_of(alone).items():
        assert not variable.endswith("_FILE") or str(Path(value).parent) in places
    assert secrets(deployment(alone)) == {"perspective-tls", "issuance-ca"}
    (ca,) = [each["secret"] for each in pod(deployment(alone))["volumes"] if each["name"] == "issuance-ca"]
    assert [item["key"] for item in ca["items"]] == ["ca.crt"]


def test_both_images_are_built_and_pinned(alone: Rendered) -> None:
    found = {str(each["image"]) for each in containers(deployment(alone))}
    assert found == {f"registry.ecert.example.hk/ecert/{each}:0.1.0" for each in ("perspective", RESOLVER)}
    assert "perspective" in IMAGES


def test_pod_ends_after_its_requests(alone: Rendered) -> None:
    pause = container(deployment(alone))["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(deployment(alone))["terminationGracePeriodSeconds"] >= pause + gunicorn_server.GRACE_SECONDS + 5
    assert gunicorn_server.GRACE_SECONDS > settings._MAX_TIMEOUT
    assert sidecar(alone)["restartPolicy"] == "Always"


def configuration(rendered: Rendered) -> dict[str, str]:
    found = rendered.one("ConfigMap", "resolver")["data"]
    assert isinstance(found, dict)
    return found


def test_resolver_validates_for_its_pod_only_and_forwards_to_nobody(alone: Rendered) -> None:
    lines = [line.strip() for line in configuration(alone)["unbound.conf"].splitlines()]
    host, _, port = environment_of(alone)["RESOLVER_ADDRESS"].partition(":")
    assert [line for line in lines if line.startswith("interface:")] == [f"interface: {host}@{port}"]
    assert 'module-config: "validator iterator"' in lines
    assert 'trust-anchor-file: "/etc/unbound/root.ds"' in lines
    assert not [line for line in lines if line.startswith(("forward-", "stub-", "domain-insecure", "local-"))]
    for option in ("val-permissive-mode: no", "ignore-cd-flag: no", "harden-dnssec-stripped: yes"):
        assert option in lines
    assert configuration(alone)["root.ds"].count(" IN DS ") == 2


# `make test` installs it where it may; elsewhere the rest of the suite is still of use.
@pytest.mark.skipif(not shutil.which("unbound-control", path=f"{os.defpath}:/usr/sbin"), reason="unbound is missing")
def test_resolver_starts_with_its_configuration_and_its_probes_find_it(alone: Rendered, tmp_path: Path) -> None:
    port = free_port()
    for file, text in configuration(alone).items():
        own = re.sub("/etc/unbound|/tmp", str(tmp_path), text)
        (tmp_path / file).write_text(own.replace("@5353", f"@{port}"))
    configured = str(tmp_path / "unbound.conf")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(("/usr/sbin/unbound", "-d", "-c", configured), stdout=log, stderr=log)
    try:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            command = [part.replace("/etc/unbound", str(tmp_path)) for part in sidecar(alone)[probe]["exec"]["command"]]

            def answers(command: list[str] = command) -> bool:
                return subprocess.run(command, capture_output=True, check=False).returncode == 0

            wait_until(answers, limit=10, what=probe)
    finally:
        process.terminate()
        process.wait()
    assert "error" not in (tmp_path / "log").read_text()

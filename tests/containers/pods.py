"""Pods of the manifests without a cluster: each container is run by podman as its Deployment says.

What differs is where the neighbours are: all is on this machine's loopback, so ports are assigned again, and addresses
and logins are those of the processes of `make run`. Files lie where the manifests mount them, nowhere else.
"""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from deploy.gateway.envoy import Network
from deploy.gateway.rules import BACKENDS
from deploy.images.engine import Engine
from deploy.k8s.dev_secrets import Secrets
from deploy.k8s.generated import service_of
from deploy.local import perspectives, processes, stack
from deploy.local.ct.logs import LOG_LIST
from deploy.local.installation import Installation
from deploy.local.stack import Outside
from deploy.local.waiting import free_port, free_ports, wait_until
from tests.containers.services import Services
from tests.contract.k8s.rendering import Object, Rendered, container, environment, image, name, pod

USER: Final = 65532
SANDBOX: Final = "payment-sandbox"
_ALONE: Final = Outside(variables={})


@dataclass
class Running:
    """One container in the foreground."""

    each: Object
    instance: str
    process: "subprocess.Popen[bytes]"
    log: Path


@dataclass
class Pods:
    """All of them."""

    engine: Engine
    installation: Installation
    rendered: Rendered
    secrets: Secrets
    folder: Path
    services: Services = field(default_factory=Services)
    running: dict[str, Running] = field(default_factory=dict)
    _ports: dict[tuple[str, int], int] = field(default_factory=dict)
    _addresses: dict[str, int] = field(default_factory=dict)
    _generations: "Counter[str]" = field(default_factory=Counter)

    def network(self) -> Network:
        """Return how the gateway finds the Services."""
        services = [*map(service_of, BACKENDS), *(f"{service}-operate" for service in stack.OPERATED)]
        self._addresses = dict(zip(services, free_ports(len(services)), strict=True))
        for port in self._addresses.values():
            self.services.lead(port, ())
        inside = self.installation.folder / "inside"
        services_ca = inside / "services-ca.pem"
        services_ca.write_bytes(self.secrets["services-ca"]["ca.crt"])
        return Network(
            addresses={backend: ("localhost", self._addresses[service_of(backend)]) for backend in BACKENDS},
            services_ca=services_ca,
            certificate=inside / "gateway.pem",
            key=inside / "gateway.key",
        )

    def start(self, each: Object) -> Running:
        """Start one more container of it, without waiting."""
        self._generations[name(each)] += 1
        instance = f"{name(each)}.{self._generations[name(each)]}"
        for port in container(each).get("ports", ()):
            fixed = self.installation.ports.sandbox if name(each) == SANDBOX else None
            self._ports[instance, port["containerPort"]] = fixed or free_port()
        log = self.folder / f"{instance}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(self.command(each, instance), stdout=out, stderr=out)
        self.running[instance] = Running(each, instance, process, log)
        return self.running[instance]

    def run(self, each: Object) -> None:
        """Run a Job to its end."""
        started = self.start(each)
        assert started.process.wait(120) == 0, started.log.read_text()
        del self.running[started.instance]

    def wait_until_ready(self, instances: Iterable[Running], limit: float = 120) -> None:
        """Wait until the readiness probe of each pod succeeds; then lead its Service to it."""
        for one in instances:
            wait_until(partial(self._is_ready, one), limit=limit, what=one.instance, every=0.3)
        self._lead()

    def _lead(self, without: Iterable[str] = ()) -> None:
        for service, port in self._addresses.items():
            found = (one.instance for one in self.running.values() if name(one.each) == service)
            self.services.lead(port, [self._ports[each, 8443] for each in found if each not in {*without}])

    def _is_ready(self, one: Running) -> bool:
        assert one.process.poll() is None, one.log.read_text()
        probe = container(one.each)["readinessProbe"]["httpGet"]
        (port,) = (p["containerPort"] for p in container(one.each)["ports"] if p["name"] == probe["port"])
        address = f"http://127.0.0.1:{self._ports[one.instance, port]}{probe['path']}"
        try:
            with urllib.request.urlopen(address, timeout=6) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self, instances: Sequence[Running]) -> dict[str, float]:
        """End pods as a cluster does: preStop's pause, and amid it no Service leads there any more, then SIGTERM.

        The seconds that each then took; each ends with status 0 within its grace period.
        """
        pause = max(map(_pause, instances))
        time.sleep(pause / 2)  # until then requests still come, from clients that do not know it yet
        self._lead(without=[one.instance for one in instances])
        time.sleep(pause / 2)
        begun, took = time.monotonic(), {}
        for one in instances:
            one.process.terminate()
        for one in instances:
            grace = pod(one.each)["terminationGracePeriodSeconds"] - _pause(one)
            assert one.process.wait(max(0.1, begun + grace - time.monotonic())) == 0, one.log.read_text()[-2000:]
            took[one.instance] = time.monotonic() - begun
            del self.running[one.instance]
        return took

    def kill(self) -> None:
        """Kill all remaining processes."""
        for one in self.running.values():
            one.process.terminate()
        for one in self.running.values():
            try:
                one.process.wait(30)
            except subprocess.TimeoutExpired:
                one.process.kill()
        self.running.clear()

    def command(self, each: Object, instance: str) -> tuple[str, ...]:
        """Return `podman run` as the manifest says."""
        security, whole = container(each)["securityContext"], pod(each)["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        user = f"{whole['runAsUser']}:{whole['runAsGroup']}"
        options = ["--network", "host", "--read-only", "--read-only-tmpfs=false", "--user", user]
        options += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
        options += ["--env-file", str(self._environment(each, instance))]
        arguments = [self._own_port(instance, argument) for argument in container(each)["args"]]
        return self.engine.command(*options, *self._mounts(each, instance), f"localhost/{image(each)}", *arguments)

    def _own_port(self, instance: str, text: str) -> str:
        """Return a text of the manifest that names an address or a port of this container."""
        if text == "0.0.0.0":
            return "127.0.0.1"
        head, _, port = text.rpartition(":")
        here = self._ports.get((instance, int(port))) if port.isdigit() else None
        return text if here is None else f"127.0.0.1:{here}" if head else str(here)

    def _neighbours(self, text: str) -> str:
        """Return a text of the manifest that names Services."""

        def here(found: re.Match[str]) -> str:
            port = self._addresses.get(found[1])
            return found[0] if port is None else f"https://localhost:{port}"

        return re.sub(r"https://([\w-]+):8443", here, text)

    def _environment(self, each: Object, instance: str) -> Path:
        local = self._local_environment(name(each))
        told: dict[str, str] = {}
        for variable, value in environment(self.rendered, each).items():
            neighbours = self._neighbours(value)
            if neighbours != value:
                told[variable] = neighbours
            elif variable in ("BIND", "ADMIN_HOST", "ADMIN_PORT"):
                told[variable] = self._own_port(instance, value)
            elif value.startswith("/"):
                told[variable] = value
            else:
                told[variable] = local.get(variable) or self._from_secret(value)
        file = self.folder / f"{instance}.env"
        file.write_text("".join(f"{variable}={value}\n" for variable, value in told.items()))
        return file

    def _from_secret(self, value: str) -> str:
        secret, _, key = value.partition("/")
        return self.secrets[secret][key].decode() if secret in self.secrets else value

    def _local_environment(self, which: str) -> Mapping[str, str]:
        if which.endswith("-migrate"):
            return stack.migrate_environment(self.installation, which.removesuffix("-migrate"), _ALONE)
        (found,) = (each for each in processes.table(self.installation, _ALONE) if each.name == which)
        return found.environment

    def _mounts(self, each: Object, instance: str) -> list[str]:
        options = []
        volumes = {volume["name"]: volume for volume in pod(each).get("volumes", ())}
        for mount in container(each).get("volumeMounts", ()):
            volume, place = volumes[mount["name"]], mount["mountPath"]
            if "emptyDir" in volume:
                options += ["--tmpfs", f"{place}:rw,mode=1777,size=64m"]
            elif "persistentVolumeClaim" in volume:
                os.chown(self.installation.posting, USER, USER)
                options += ["-v", f"{self.installation.posting}:{place}"]
            else:
                assert mount["readOnly"]
                files = self._files(instance, volume["secret"]) if "secret" in volume else self._lists()
                options += ["-v", f"{files}:{place}:ro"]
        return options

    def _lists(self) -> Path:
        """Return a folder with the list of perspectives on this machine, the one ConfigMap that is mounted."""
        folder = self.folder / "perspectives"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.installation.pki.perspectives / perspectives.LIST, folder)
        (folder / perspectives.LIST).chmod(0o444)
        return folder

    def use_neighbours(self) -> None:
        """Take certificates and logs from the perspectives and the logs that run beside the containers."""
        folder = self.installation.pki.perspectives
        self.secrets["perspectives-ca"] = {"ca.crt": (folder / "ca.pem").read_bytes()}
        self.secrets["issuance-perspectives-tls"] = {
            "tls.crt": (folder / "issuance.pem").read_bytes(),
            "tls.key": (folder / "issuance.key").read_bytes(),
        }
        logs = self.installation.transparency / LOG_LIST
        self.secrets["issuance-transparency-logs"] = {LOG_LIST: logs.read_bytes()}

    def _files(self, which: str, secret: Object) -> Path:
        """Return a folder with a Secret's keys, as the kubelet makes one."""
        folder = self.folder / "secrets" / which / str(secret["secretName"])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        assert secret["secretName"] in self.secrets or secret.get("optional"), secret["secretName"]
        found = self.secrets.get(secret["secretName"], {})
        items = secret.get("items") or [{"key": key, "path": key} for key in found]
        for item in items if found else ():
            file = folder / item["path"]
            file.write_bytes(found[item["key"]])
            file.chmod(0o440)
            os.chown(file, 0, USER)
        return folder


def _pause(one: Running) -> float:
    """Return what preStop sleeps, in seconds."""
    return float(container(one.each).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))

"""Pods of the manifests without a cluster: each container is run by podman as its Deployment says.

What differs is where the neighbours are: all is on this machine's loopback, so ports are given out anew, and addresses
and logins are those that the processes of `make run` are told. Files lie where the manifests mount them, nowhere else.
"""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.gateway.envoy import Network
from deploy.gateway.rules import BACKENDS
from deploy.images.engine import Engine
from deploy.k8s.dev_secrets import Secrets
from deploy.k8s.generated import service_of
from deploy.local import processes, stack
from deploy.local.installation import Installation
from deploy.local.stack import Outside
from deploy.local.waiting import free_ports, wait_until
from tests.contract.k8s.rendering import Object, Rendered, container, environment, image, name, pod

USER: Final = 65532
SANDBOX: Final = "payment-sandbox"
_ALONE: Final = Outside(variables={})


@dataclass
class Running:
    """One container in the foreground."""

    process: "subprocess.Popen[bytes]"
    grace: int
    log: Path


@dataclass
class Pods:
    """All of them."""

    engine: Engine
    installation: Installation
    rendered: Rendered
    secrets: Secrets
    folder: Path
    running: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = [
            (name(each), port["containerPort"])
            for each in self.rendered.ours()
            for port in container(each).get("ports", ())
        ]
        self._ports = dict(zip(wanted, free_ports(len(wanted)), strict=True))
        sandbox = next(port for which, port in wanted if which == SANDBOX)
        self._ports[SANDBOX, sandbox] = self.installation.ports.sandbox

    def network(self) -> Network:
        """How the gateway finds them."""
        inside = self.installation.folder / "inside"
        services_ca = inside / "services-ca.pem"
        services_ca.write_bytes(self.secrets["services-ca"]["ca.crt"])
        return Network(
            addresses={backend: ("localhost", self._ports[service_of(backend), 8443]) for backend in BACKENDS},
            services_ca=services_ca,
            certificate=inside / "gateway.pem",
            key=inside / "gateway.key",
        )

    def start(self, each: Object) -> None:
        """Start it, without waiting."""
        log = self.folder / f"{name(each)}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(self.command(each), stdout=out, stderr=out)
        self.running[name(each)] = Running(process, pod(each).get("terminationGracePeriodSeconds", 30), log)

    def run(self, each: Object) -> None:
        """Run a Job to its end."""
        self.start(each)
        started = self.running.pop(name(each))
        assert started.process.wait(120) == 0, started.log.read_text()

    def wait_until_ready(self, limit: float = 120) -> None:
        """Every pod's readiness probe succeeds."""
        for each in self.rendered.of("Deployment"):
            if name(each) in self.running:
                wait_until(lambda each=each: self._is_ready(each), limit=limit, what=name(each), every=0.3)  # type: ignore[misc]

    def _is_ready(self, each: Object) -> bool:
        started = self.running[name(each)]
        assert started.process.poll() is None, started.log.read_text()
        probe = container(each)["readinessProbe"]["httpGet"]
        (port,) = (p["containerPort"] for p in container(each)["ports"] if p["name"] == probe["port"])
        address = f"http://127.0.0.1:{self._ports[name(each), port]}{probe['path']}"
        try:
            with urllib.request.urlopen(address, timeout=6) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self, which: str) -> float:
        """SIGTERM, as a pod gets it; how many seconds it took. Its exit status must be 0."""
        started = self.running.pop(which)
        begun = time.monotonic()
        started.process.terminate()
        assert started.process.wait(started.grace) == 0, started.log.read_text()[-2000:]
        return time.monotonic() - begun

    def kill(self) -> None:
        """Whatever is left."""
        for started in self.running.values():
            started.process.terminate()
        for started in self.running.values():
            try:
                started.process.wait(30)
            except subprocess.TimeoutExpired:
                started.process.kill()

    def command(self, each: Object) -> tuple[str, ...]:
        """`podman run` as the manifest says."""
        security, whole = container(each)["securityContext"], pod(each)["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        user = f"{whole['runAsUser']}:{whole['runAsGroup']}"
        options = ["--network", "host", "--read-only", "--read-only-tmpfs=false", "--user", user]
        options += [
            "--cap-drop",
            "all",
            "--security-opt",
            "no-new-privileges",
            "--env-file",
            str(self._environment(each)),
        ]
        arguments = [self._own_port(each, argument) for argument in container(each)["args"]]
        return self.engine.command(*options, *self._mounts(each), f"localhost/{image(each)}", *arguments)

    def _own_port(self, each: Object, text: str) -> str:
        """A text of the manifest that names an address or a port of this container."""
        if text == "0.0.0.0":
            return "127.0.0.1"
        head, _, port = text.rpartition(":")
        here = self._ports.get((name(each), int(port))) if port.isdigit() else None
        return text if here is None else f"127.0.0.1:{here}" if head else str(here)

    def _neighbours(self, text: str) -> str:
        """A text of the manifest that names the Services of other pods."""

        def here(found: re.Match[str]) -> str:
            port = self._ports.get((found[1], int(found[2])))
            return found[0] if port is None else f"https://localhost:{port}"

        return re.sub(r"https://([\w-]+):(\d+)", here, text)

    def _environment(self, each: Object) -> Path:
        local = self._told_locally(name(each))
        told: dict[str, str] = {}
        for variable, value in environment(self.rendered, each).items():
            neighbours = self._neighbours(value)
            if neighbours != value:
                told[variable] = neighbours
            elif variable in ("BIND", "ADMIN_HOST", "ADMIN_PORT"):
                told[variable] = self._own_port(each, value)
            elif value.startswith("/"):
                told[variable] = value
            else:
                told[variable] = local.get(variable) or self._from_secret(value)
        file = self.folder / f"{name(each)}.env"
        file.write_text("".join(f"{variable}={value}\n" for variable, value in told.items()))
        return file

    def _from_secret(self, value: str) -> str:
        secret, _, key = value.partition("/")
        return self.secrets[secret][key].decode() if secret in self.secrets else value

    def _told_locally(self, which: str) -> Mapping[str, str]:
        if which.endswith("-migrate"):
            return stack.migrate_environment(self.installation, which.removesuffix("-migrate"), _ALONE)
        (found,) = (each for each in processes.table(self.installation, _ALONE) if each.name == which)
        return found.environment

    def _mounts(self, each: Object) -> list[str]:
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
                options += ["-v", f"{self._files(name(each), volume['secret'])}:{place}:ro"]
        return options

    def _files(self, which: str, secret: Object) -> Path:
        """A folder with a Secret's keys, as the kubelet makes one."""
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

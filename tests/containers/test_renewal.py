"""A renewal through the containers: read-only, as nobody, each with its own files alone, behind mutual TLS."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.demo.__main__ import demonstrate
from deploy.demo.public import Gateway, Problem
from deploy.demo.target import Target
from deploy.gateway.rules import DESK_HOST
from deploy.k8s import dev_secrets
from deploy.local import bring_up, postgres, stack
from deploy.local.installation import ROOT, Installation, Ports
from deploy.local.run import Progress, running
from deploy.local.stack import Outside
from tests.containers.conftest import Built
from tests.containers.pods import Pods
from tests.contract.k8s.rendering import name, render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ALONE = Outside(variables={})
KIT = (sys.executable, "-m", "backoffice")


@pytest.fixture(scope="module")
def pods(built: Built) -> Iterator[Pods]:
    """Every Deployment of the overlay for development, ready; Kafka, PostgreSQL and Envoy are those of one machine."""
    say, folder = Progress(), Path(tempfile.mkdtemp(prefix="ecert-containers-"))
    folder.chmod(0o711)
    installation = Installation.open(folder / "state", Ports.free())
    secrets = dev_secrets.make(installation, now=datetime.now(UTC).replace(microsecond=0), hosts=("localhost",))
    made = Pods(built.engine, installation, render("dev"), secrets, folder)
    installation = made.installation = replace(installation, network=made.network())
    try:
        with running(installation, say, engines_only=True, there=ALONE):
            say("Databases and migrations, by the Jobs")
            postgres.add_roles(installation.cluster, installation.password_of("postgres"))
            for service in postgres.SERVICES:
                postgres.add_database(installation.cluster, service)
                made.run(made.rendered.one("Job", f"{service}-migrate"))
            bring_up.import_samples(installation, ALONE, say)
            bring_up.register_readers(installation, ALONE, say)
            bring_up.assign_roles(installation, ALONE, say)
            say("The containers")
            for each in made.rendered.ours():
                if each["kind"] == "Deployment":
                    made.start(each)
            made.wait_until_ready()
            say(f"{len(made.running)} containers are ready")
            yield made
            made.kill()
    finally:
        made.kill()
        shutil.rmtree(folder)


def test_a_renewal_of_three_certificates_goes_through(pods: Pods, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        assert demonstrate(Target(installation=pods.installation, patience=120))


def test_the_back_office_reads_the_certificates_from_the_feed(pods: Pods) -> None:
    told = stack.kit_environment(pods.installation, ALONE)
    kit = subprocess.Popen([*KIT, "follow", "--http", "--json"], env=told, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert kit.stdout is not None
    with kit.stdout:
        issued = (line for line in kit.stdout if "certificate-issued" in json.loads(line)["type"])
        found = [next(issued) for _ in range(3)]
        kit.terminate()
        assert kit.wait(20) == 0
    csv = pods.folder / "certificates.csv"
    subprocess.run([*KIT, "export", "--csv", str(csv)], env=told, cwd=ROOT, check=True)
    assert f"# end: {len(found)} certificates" in csv.read_text()
    subprocess.run([*KIT, "verify", str(csv)], env=told, cwd=ROOT, check=True)


@pytest.mark.parametrize("service", stack.OPERATED)
def test_the_desk_operates_every_service_by_an_address_of_its_own(pods: Pods, service: str) -> None:
    installation, member = pods.installation, pods.installation.pki.staff / "yip-hoi-ching"
    gateway = Gateway(port=installation.ports.gateway, ca_file=installation.pki.gateway / "root.pem")
    desk = gateway.connect(DESK_HOST, certificate=member.with_suffix(".pem"), key=member.with_suffix(".key"))
    try:
        assert f"Events held by {service}".encode() in desk.request("GET", f"/held/{service}").body
        pods.end(f"{service}-operate")
        with pytest.raises(Problem) as away:
            desk.request("GET", f"/held/{service}")
        assert away.value.status == 503
    finally:
        desk.close()


def test_each_ends_in_good_order_within_its_grace_period(pods: Pods) -> None:
    names = [name(each) for each in pods.rendered.ours() if name(each) in pods.running]
    assert len(names) > 20
    took = {which: pods.end(which) for which in names}
    assert max(took.values()) < 15, took

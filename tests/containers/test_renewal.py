"""Renewals through the containers: read-only, as nobody, each with its own files alone, behind mutual TLS."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from deploy.gateway.rules import DESK_HOST
from deploy.k8s import dev_secrets
from deploy.local import bring_up, postgres, stack
from deploy.local.installation import ROOT, Installation, Ports
from deploy.local.run import Progress, running
from deploy.local.stack import Outside
from deploy.local.waiting import wait_until
from deploy.postgres.roles import SERVICES
from devtools.scenario import invariants
from devtools.scenario.__main__ import demonstrate
from devtools.scenario.gateway_client import Gateway
from devtools.scenario.target import Target
from shared.web.https_client import APIProblem
from tests.containers.conftest import Built
from tests.containers.load import ARS, Load
from tests.containers.pods import SANDBOX, Pods, Running
from tests.contract.k8s.rendering import Object, is_perspective, labels, name, render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ALONE: Final = Outside(variables={})
KIT: Final = (sys.executable, "-m", "backoffice")


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
            for service in SERVICES:
                postgres.add_database(installation.cluster, service)
                made.run(made.rendered.one("Job", f"{service}-migrate"))
            bring_up.import_samples(installation, ALONE, say)
            bring_up.register_readers(installation, ALONE, say)
            bring_up.assign_roles(installation, ALONE, say)
            say("The containers")
            made.use_neighbours()
            made.wait_until_ready([made.start(each) for each in deployments(made)])
            say(f"{len(made.running)} containers are ready")
            yield made
            made.kill()
    finally:
        made.kill()
        made.services.stop()
        shutil.rmtree(folder)


def deployments(pods: Pods) -> list[Object]:
    """Return all but the perspectives, which run beside the containers as the name server and the logs do."""
    return [each for each in pods.rendered.ours() if each["kind"] == "Deployment" and not is_perspective(each)]


def test_renewal_of_three_certificates_completes(pods: Pods, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        assert demonstrate(Target(installation=pods.installation, patience=120))


def test_back_office_reads_the_certificates_from_the_feed(pods: Pods) -> None:
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


def replace_all(pods: Pods, kind: str) -> dict[str, float]:
    """Return what a rollout does to all Deployments of one kind: successors first, where the strategy says so."""
    old = [one for one in pods.running.values() if kind_of(one) == kind]
    if old[0].each["spec"]["strategy"].get("type") == "Recreate":
        took = pods.end(old)
        pods.wait_until_ready([pods.start(one.each) for one in old])
        return took
    pods.wait_until_ready([pods.start(one.each) for one in old])
    return pods.end(old)


def kind_of(one: Running) -> str:
    return labels(one.each).get("app.kubernetes.io/component", "")


def test_replacing_every_process_under_load_fails_no_request(pods: Pods, capsys: pytest.CaptureFixture[str]) -> None:
    load, took = Load(pods), dict[str, float]()
    kinds = dict.fromkeys(kind_of(one) for one in pods.running.values() if name(one.each) != SANDBOX)
    with load.running():
        for kind in kinds:
            took |= replace_all(pods, kind)
    done = load.done
    wait_until(lambda: invariants.at_rest(load.target), limit=60, what="nothing is left to do", every=0.5)
    with capsys.disabled():
        print(
            f"\n  meanwhile {len(done.renewals)} renewals, {done.pages} pages, {len(done.positions)} events of the feed"
        )
        print("  seconds from SIGTERM to the end:")
        for instance, seconds in sorted(took.items(), key=lambda each: -each[1]):
            print(f"  {seconds:6.1f}  {instance}")
    assert len(took) == len(deployments(pods)) - 1, "the sandbox is the provider's"
    assert len(done.renewals) >= ARS
    assert done.positions == [*range(1, len(done.positions) + 1)]
    assert_nothing_is_lost_or_doubled(load.target, done.renewals)
    assert refused_by_the_gateway(pods) == Counter()


def assert_nothing_is_lost_or_doubled(target: Target, renewals: Sequence[str]) -> None:
    counts = invariants.all_of(target, renewals)
    completed = counts["renewals completed"]
    assert completed == counts["captures at the provider"] == counts["CSR e-mails by Message-ID"]
    assert completed >= len(renewals)
    nothing = ("items with two certificates", "serial numbers used twice", "events with a hole before them")
    assert [counts[what] for what in (*nothing, "events not sent", "keys held")] == [0] * 5


def refused_by_the_gateway(pods: Pods) -> "Counter[str]":
    """Return its answers of 500 and more, by path."""
    lines = (pods.installation.logs / "gateway.log").read_text().splitlines()
    answers = (json.loads(line) for line in lines if line.startswith("{"))
    return Counter(f"{each['status']} {each['path']} {each['why']}" for each in answers if int(each["status"]) >= 500)


def test_desk_operates_every_service_at_its_own_address(pods: Pods) -> None:
    installation, member = pods.installation, pods.installation.pki.staff / "yip-hoi-ching"
    gateway = Gateway(port=installation.ports.gateway, ca_file=installation.pki.gateway / "root.pem")
    desk = gateway.connect(DESK_HOST, certificate=member.with_suffix(".pem"), key=member.with_suffix(".key"))
    try:
        for service in stack.CONSUMING:
            assert f"Events held by {service}".encode() in desk.request("GET", f"/held/{service}").body
        pods.end([one for one in pods.running.values() if kind_of(one) == "operate"])
        for service in stack.CONSUMING:
            with pytest.raises(APIProblem) as away:
                desk.request("GET", f"/held/{service}")
            assert away.value.status == 503
    finally:
        desk.close()

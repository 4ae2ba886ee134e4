"""The development cluster has all that a renewal needs between CSR and certificate: perspectives, DNS and logs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import dns.flags
import dns.message
import dns.query
import pytest
from cryptography import x509

from deploy.images.build import NEIGHBOURS, RESOLVER
from deploy.k8s import dev_secrets
from deploy.local.ct.app import create_app
from deploy.local.ct.logs import LOG_LIST, open_logs
from deploy.local.dns.serving import serve
from deploy.local.dns.updates import Updates
from deploy.local.dns.zone import ANCHOR
from deploy.local.installation import Installation, Ports
from deploy.local.waiting import free_port, wait_until
from services.issuance.ca.validity_policy import VALIDITY_DAYS
from services.issuance.ct import log_list, policy
from services.issuance.dcv.quorum import MIN_REMOTES, PerspectiveSet
from tests.contract.k8s.rendering import (
    ROOT,
    Object,
    Rendered,
    container,
    environment,
    is_perspective,
    labels,
    name,
    pod,
    render,
)
from tests.contract.k8s.test_perspective import read

NOW: Final = datetime.now(UTC).replace(microsecond=0)
Secrets = dev_secrets.Secrets


@pytest.fixture
def dev() -> Rendered:
    return render("dev")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation.open(tmp_path_factory.mktemp("dev"), Ports())


@pytest.fixture(scope="module")
def made(installation: Installation) -> Secrets:
    return dev_secrets.make(installation, now=NOW)


def perspectives(rendered: Rendered) -> PerspectiveSet:
    return PerspectiveSet.parse(
        rendered.one("ConfigMap", "issuance-perspectives")["data"]["perspectives.json"].encode()
    )


def places(rendered: Rendered) -> dict[str, Object]:
    """Return the perspectives' Deployments by their own names."""
    found = [each for each in rendered.of("Deployment") if is_perspective(each)]
    return {environment(rendered, each)["PERSPECTIVE_NAME"]: each for each in found}


def led_to(rendered: Rendered, host: str, port: int) -> Object:
    """Return the workload that a Service with this name and port leads to."""
    service = rendered.one("Service", host)["spec"]
    assert port in {each["port"] for each in service["ports"]}
    (found,) = [each for each in rendered.workloads() if service["selector"].items() <= labels(each).items()]
    return found


def folder(at: Path, secret: dict[str, bytes]) -> Path:
    """Return a folder with a Secret's keys."""
    at.mkdir()
    for key, content in secret.items():
        (at / key).write_bytes(content)
    return at


def test_perspectives_pass_the_check_at_start_now_and_by_every_later_rule(dev: Rendered) -> None:
    found = perspectives(dev)
    for moment in (NOW, *(datetime.combine(day, time(), UTC) for day, _ in MIN_REMOTES.rows)):
        found.check(moment)


def test_each_listed_perspective_has_a_deployment_behind_its_service(dev: Rendered) -> None:
    found = places(dev)
    assert set(found) == {each.name for each in perspectives(dev).perspectives}
    for each in perspectives(dev).perspectives:
        assert each.address is not None
        assert led_to(dev, *each.address) == found[each.name]


def test_perspectives_and_issuance_know_each_other_by_certificate(dev: Rendered, made: Secrets) -> None:
    servers, clients = (x509.load_pem_x509_certificate(made[ca]["ca.crt"]) for ca in ("perspectives-ca", "issuance-ca"))
    x509.load_pem_x509_certificate(made["issuance-perspectives-tls"]["tls.crt"]).verify_directly_issued_by(clients)
    seen = set()
    for each in perspectives(dev).perspectives:
        (secret,) = [v["secret"]["secretName"] for v in pod(places(dev)[each.name])["volumes"] if v["name"] == "tls"]
        certificate = x509.load_pem_x509_certificate(made[secret]["tls.crt"])
        certificate.verify_directly_issued_by(servers)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [urlsplit(each.url).hostname]
        seen.add(made[secret]["tls.key"])
    assert len(seen) == len(places(dev)), "each has a key of its own"


def test_perspective_has_its_settings(dev: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(places(dev)) == 6
    for which, each in places(dev).items():
        found = read(environment(dev, each), monkeypatch)
        assert (found.name, found.environment) == (which, "local")
        assert {one["image"] for one in pod(each)["initContainers"]} == {f"ecert/{RESOLVER}:dev"}


def test_log_list_is_accepted_at_start_and_has_enough_logs_that_are_services(
    dev: Rendered, made: Secrets, tmp_path: Path
) -> None:
    file = tmp_path / LOG_LIST
    file.write_bytes(made["issuance-transparency-logs"][LOG_LIST])
    logs = log_list.load(file, plain_http=True).logs
    ends = NOW + timedelta(days=VALIDITY_DAYS.at(NOW))
    able = policy.candidates(logs, ends, NOW)
    for missing in able:
        rest = [log for log in able if log is not missing]
        assert policy.complete(policy.rule_for(NOW, ends, NOW), [], rest), f"without {missing.description}"
    for log in logs:
        host = urlsplit(log.url)
        assert name(led_to(dev, host.hostname or "", host.port or 80)) == "transparency-logs"


def test_logs_open_with_the_keys_of_their_secret_and_write_elsewhere(
    dev: Rendered, made: Secrets, tmp_path: Path
) -> None:
    process = container(dev.one("Deployment", "transparency-logs"))
    told = dict(each[2:].split("=") for each in process["args"][1:])
    read_only = {mount["mountPath"]: mount.get("readOnly", False) for mount in process["volumeMounts"]}
    assert (read_only[told["folder"]], read_only[str(Path(told["database"]).parent)]) == (True, False)
    keys = folder(tmp_path / "keys", made["transparency-log-keys"])
    roots = x509.load_pem_x509_certificates((keys / Path(told["roots"]).name).read_bytes())
    database, logs = open_logs(keys, roots, tmp_path / "logs.sqlite")
    try:
        answers = [create_app(logs).test_client().get(f"/{log}/ct/v1/get-roots").status_code for log in logs]
        assert set(answers) == {200}
    finally:
        database.close()
    assert {each.name for each in keys.iterdir()} == {*made["transparency-log-keys"]}


@pytest.fixture
def resolver(dev: Rendered, made: Secrets, tmp_path: Path) -> Iterator[tuple[int, Updates]]:
    """Unbound with a perspective's configuration, as its pod makes it, and the name server with its Secret."""
    keys = folder(tmp_path / "zone", made["name-server-keys"])
    port = free_port()
    (name_server,) = serve(keys, 0, (), ())
    (anchor,) = folder(tmp_path / "anchor", made["name-server-anchor"]).iterdir()
    assert anchor.name == ANCHOR
    (mounted,) = (each for each in pod(places(dev)["hkg"])["volumes"] if each["name"] == "resolver")
    (found,) = (each["data"] for each in dev.of("ConfigMap") if name(each) == mounted["configMap"]["name"])
    for file, text in found.items():
        own = re.sub("/etc/unbound|/etc/ecert|/tmp", str(tmp_path), text).replace("@5353", f"@{port}")
        own = own.replace("NAME_SERVER@53", f"127.0.0.1@{name_server.port}")
        (tmp_path / file).write_text(own.replace("server:\n", "server:\n  do-not-query-localhost: no\n", 1))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(("/usr/sbin/unbound", "-d", "-c", tmp_path / "local.conf"), stdout=log, stderr=log)
    yield port, Updates(keys, name_server.port)
    process.terminate()
    process.wait()
    name_server.close()


@pytest.mark.skipif(not shutil.which("unbound", path=f"{os.defpath}:/usr/sbin"), reason="unbound is missing")
def test_resolver_of_a_perspective_validates_what_is_published_in_the_cluster(resolver: tuple[int, Updates]) -> None:
    port, updates = resolver
    record = "_validation.www.harbourlights.example.hk"
    updates.publish(record, "TXT", "the-value")

    def secure(record: str, kind: str) -> str | None:
        query = dns.message.make_query(record, kind, want_dnssec=True)
        reply = dns.query.tcp(query, "127.0.0.1", timeout=5, port=port)
        return reply.to_text() if reply.flags & dns.flags.AD else None

    wait_until(lambda: answers(port), limit=10, what="the resolver")
    assert '"the-value"' in (secure(record, "TXT") or "")
    for absent in ("www.harbourlights.example.hk", "harbourlights.example.hk", "example.hk", "hk"):
        assert secure(absent, "CAA"), f"{absent}: absence is not proved"


def answers(port: int) -> bool:
    try:
        dns.query.tcp(dns.message.make_query(".", "SOA"), "127.0.0.1", timeout=1, port=port)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_image_of_a_neighbour_has_all_code_that_its_process_imports(
    dev: Rendered, neighbour: str, tmp_path: Path
) -> None:
    each = dev.one("Deployment", neighbour)
    assert container(each)["image"] == f"ecert/{neighbour}:dev"
    _, part = NEIGHBOURS[neighbour]
    text = (ROOT / "deploy" / "images" / "neighbours" / "Dockerfile").read_text().replace("${FOLDER}", part)
    kept = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (.*) /app/\S+$", text, re.MULTILINE):
        for source in line.split():
            assert f"\n!{source}\n" in kept
            copy = shutil.copytree if source.endswith("/") else shutil.copy
            (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / source, tmp_path / source)
    shutil.copytree(ROOT / "shared", tmp_path / "shared")
    command = (sys.executable, "-m", container(each)["args"][0], "--help")
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for argument in container(each)["args"][1:]:
        if argument.startswith("--"):
            assert argument.partition("=")[0] in done.stdout

"""The real process: mutual TLS, one operation, probes, and what it refuses."""

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.waiting import free_ports, wait_until
from shared.pki.observations import MAX_INQUIRY_BYTES, Inquiry, Kind, Outcome, Question, Reason, read_report
from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, HTTPSClient, Limits
from tests.integration.perspective.servers import DNS
from tests.integration.perspective.tls import make_issuer

ROOT = Path(__file__).parents[3]
NAME = "hkg.perspective.example"
INQUIRY = Inquiry(
    attempt_id=uuid.UUID(int=7),
    questions=(
        Question(Kind.CAA, "www.web.hk"),
        Question(Kind.TXT, "_validation.www.web.hk"),
        Question(Kind.CAA, "www.expired.hk"),
        Question(Kind.FILE, "loopback.web.hk"),
    ),
)


@dataclass(frozen=True)
class Process:
    """A running perspective, its ports and the folder with the certificates."""

    folder: Path
    port: int
    admin: int

    def client(self, certificate: str | None = "client.pem") -> HTTPSClient:
        file = None if certificate is None else self.folder / certificate
        endpoint = Endpoint(
            url=f"https://{NAME}:{self.port}",
            address=("127.0.0.1", self.port),
            ca_file=self.folder / "ca.pem",
            certificate=file,
            key=file,
        )
        return HTTPSClient(endpoint, Limits(connections=1, connect_timeout=3, read_timeout=20, max_bytes=1 << 22))

    def post(self, document: Any, certificate: str | None = "client.pem") -> bytes:
        client = self.client(certificate)
        try:
            return client.request("POST", "/v1/observations", document).body
        finally:
            client.close()

    def probe(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as reply:
            return str(reply.read().decode())

    def is_ready(self) -> bool:
        try:
            return bool(json.loads(self.probe("/readyz")) == {"ok": True})
        except OSError:
            return False


@pytest.fixture(scope="module")
def process(dns: DNS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return a running perspective."""
    folder = tmp_path_factory.mktemp("perspective")
    ours, other = make_issuer("perspectives"), make_issuer("another CA")
    files = {
        "ca.pem": ours.pem,
        "server.pem": ours.issue(NAME),
        "client.pem": ours.issue("issuance"),
        "other.pem": other.issue("issuance"),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    port, admin = free_ports(2)
    environment = {
        "ENVIRONMENT": "production",
        "PERSPECTIVE_NAME": "hkg",
        "RESOLVER_ADDRESS": f"{dns.resolver[0]}:{dns.resolver[1]}",
        "BIND": f"127.0.0.1:{port}",
        "ADMIN_PORT": str(admin),
        "TLS_CERTIFICATE_FILE": str(folder / "server.pem"),
        "TLS_KEY_FILE": str(folder / "server.pem"),
        "TLS_CLIENT_CA_FILE": str(folder / "ca.pem"),
    }
    command = [sys.executable, "-m", "perspective.main", "web"]
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log)
        running = Process(folder, port, admin)
        try:
            wait_until(running.is_ready, limit=30, what="the perspective")
            yield running
        finally:
            started.terminate()
            assert started.wait(30) == 0


def test_inquiry_is_answered_in_its_order(process: Process) -> None:
    report = read_report(process.post(INQUIRY.document()))
    report.require_answer_to(INQUIRY)
    assert report.perspective == "hkg"
    assert report.resolver.startswith("127.0.0.1:")
    assert [(each.outcome, each.reason) for each in report.observations] == [
        (Outcome.ABSENT, None),
        (Outcome.ABSENT, None),
        (Outcome.FAILED, Reason.BOGUS),
        (Outcome.FAILED, Reason.ADDRESS),
    ]


def test_128_questions_are_answered(process: Process) -> None:
    questions = tuple(Question(Kind.CAA, f"n{n}.web.hk") for n in range(128))
    inquiry = Inquiry(attempt_id=uuid.UUID(int=8), questions=questions)
    report = read_report(process.post(inquiry.document()))
    report.require_answer_to(inquiry)
    assert {each.outcome for each in report.observations} == {Outcome.ABSENT}


@pytest.mark.parametrize("certificate", [None, "other.pem"], ids=["without", "of another CA"])
def test_caller_without_a_certificate_of_the_ca_is_refused(process: Process, certificate: str | None) -> None:
    with pytest.raises(APIUnavailable):
        process.post(INQUIRY.document(), certificate)


@pytest.mark.parametrize(
    ("document", "status", "slug"),
    [
        ({}, 422, "observation-unreadable"),
        ({**INQUIRY.document(), "value": "secret"}, 422, "observation-unreadable"),
        ({**INQUIRY.document(), "questions": INQUIRY.document()["questions"] * 33}, 422, "observation-unreadable"),
        ("x" * MAX_INQUIRY_BYTES, 413, "request-entity-too-large"),
    ],
    ids=["nothing", "an unknown field", "132 questions", "too long"],
)
def test_request_in_another_form_is_a_problem(process: Process, document: Any, status: int, slug: str) -> None:
    with pytest.raises(APIProblem) as refused:
        process.post(document)
    assert (refused.value.status, refused.value.slug) == (status, slug)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/observations", 405), ("GET", "/", 404)])
def test_there_is_no_other_operation(process: Process, method: str, path: str, status: int) -> None:
    client = process.client()
    with pytest.raises(APIProblem) as refused:
        client.request(method, path)
    client.close()
    assert refused.value.status == status


def test_probes_and_metrics_are_on_a_port_of_their_own(process: Process) -> None:
    process.post(INQUIRY.document())
    assert json.loads(process.probe("/livez")) == {"ok": True}
    metrics = process.probe("/metrics")
    assert 'perspective_observations_total{kind="caa",outcome="failed",reason="dns-bogus"}' in metrics
    assert 'http_requests_total{method="POST",route="/v1/observations",status="200"}' in metrics


def test_log_names_no_record_that_was_seen(process: Process) -> None:
    process.post(INQUIRY.document())
    lines = [json.loads(line) for line in (process.folder / "log").read_text().splitlines()]
    observed = [line for line in lines if line["event"] == "perspective.observed"]
    assert observed[-1]["attempt_id"] == str(INQUIRY.attempt_id)
    assert observed[-1]["failed"] == ["address-forbidden", "dns-bogus"]

"""identity's real processes behind the real gateway, with the sample e-Certs that `make run` makes."""

import base64
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography import x509

from deploy.local import pki as local_pki
from deploy.local import samples
from deploy.local.crls import revoke
from deploy.local.people import POLICY_OIDS, SAMPLES, ECertClass
from deploy.local.waiting import wait_until
from shared.security.tokens import SigningKey, TokenKind, sign
from tests.integration.deploy.local.echo import Answer, Client
from tests.support.engines import Postgres
from tests.support.gateway import gateway_in, running_gateway

API, SIGN_IN = "api.ecert.localhost", "signin.ecert.localhost"
TOKENS = "/identity/v1/tokens"
BACK = "https://portal.ecert.localhost/signed-in"


@dataclass(frozen=True, kw_only=True)
class System:
    """identity behind its gateway."""

    client: Client
    pki: local_pki.PKI
    environment: Mapping[str, str]

    def certificate(self, sample: str) -> Path:
        return self.pki.people / f"{sample}.pem"

    def sign_in(self, sample: str, **forged: str) -> Answer:
        return self.client.ask(SIGN_IN, TOKENS, method="POST", certificate=self.certificate(sample), headers=forged)

    def operate(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "services.identity.main", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a process until the block ends."""
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture(scope="module")
def system(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    pki = local_pki.PKI(tmp_path_factory.mktemp("pki"))
    now = datetime.now(UTC)
    local_pki.create(pki, dict.fromkeys(local_pki.PASSWORDS, "password"), now=now)
    enrolment, _ = samples.write(pki, pki.folder, now)
    with postgres.database("identity") as database, tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        gateway = gateway_in(Path(folder), pki)
        environment = {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "local",
            "BIND": f"unix:{gateway.socket('identity')}",
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "AUDIT_KEY_FILE": str(pki.signing / "identity.key"),
            "FINGERPRINT_KEY_FILE": str(pki.fingerprint_key("identity")),
            "IDENTITY_JWKS_FILE": str(pki.signing / "identity-jwks.json"),
            "IDENTITY_SIGNING_KEY_FILE": str(pki.signing / "identity.key"),
            "APPLICATION_JWKS_FILE": str(pki.signing / "application-jwks.json"),
            "CLIENT_TRUST_DIR": str(pki.client_trust),
            "CLIENT_CRLS": str(pki.client_crls),
            "CLIENT_CRL_REFRESH_SECONDS": "1",
            "ECERT_ORGANISATIONAL_POLICY_OIDS": POLICY_OIDS[ECertClass.ORGANISATIONAL],
            "PORTAL_REDIRECT_URIS": BACK,
            **database.environment,
        }
        for command in ("web", "work"):
            running.enter_context(process([sys.executable, "-m", "services.identity.main", command], environment))
        running.enter_context(running_gateway(gateway))
        made = System(client=Client(port=gateway.port, root=pki.gateway / "root.pem"), pki=pki, environment=environment)
        made.operate("enrol", str(enrolment), "--actor", "test")
        wait_until(lambda: made.sign_in("chan-mei-ling").status == 200, limit=30, every=0.2, what="the first sign-in")
        yield made


EXPECTED = {
    "chan-mei-ling": (200, None, None),
    "wong-ka-ho": (200, None, None),
    "lee-siu-fong": (200, None, None),
    "lee-siu-fong-mutual-recognition": (200, None, None),
    "lee-siu-fong-renewed": (200, None, None),
    "ho-chi-wai-revoked": (403, "certificate-refused", "certificate-revoked"),
    "lam-yuk-lan-not-enrolled": (403, "not-enrolled", None),
    "chan-mei-ling-personal": (403, "certificate-refused", "certificate-personal"),
    # Its key may sign nothing, not even a handshake: the gateway itself ends it.
    "chan-mei-ling-encipherment": None,
    "wong-ka-ho-expired": (403, "certificate-refused", "certificate-expired"),
}


def outcome(answer: Answer) -> tuple[int, str | None, str | None]:
    if answer.status == 200:
        return 200, None, None
    return answer.status, answer.json["type"].removeprefix("urn:ecert:problem:"), answer.json.get("reason")


def attempt(system: System, sample: str) -> tuple[int, str | None, str | None] | None:
    """Return what comes of signing in; None if the gateway does not even finish the handshake."""
    try:
        return outcome(system.sign_in(sample))
    except (ssl.SSLError, ConnectionError):
        return None


def test_every_sample_e_cert_gets_its_expected_answer(system: System) -> None:
    assert {sample.file: attempt(system, sample.file) for sample in SAMPLES} == EXPECTED


def test_forged_certificate_header_is_refused(system: System) -> None:
    pem = system.certificate("chan-mei-ling").read_text()
    forged = {"X-Forwarded-Client-Cert": f'Cert="{pem.splitlines()[0]}"'}

    assert system.client.ask(SIGN_IN, TOKENS, method="POST", headers=forged).status == 403
    assert system.client.ask(API, TOKENS, method="POST", headers=forged).status == 404
    assert outcome(system.sign_in("lam-yuk-lan-not-enrolled", **forged)) == (403, "not-enrolled", None)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def attested(system: System, folder: Path, sample: str, ar_id: str, subscriber_id: str) -> Answer:
    """Return what an AR does with curl and openssl: sign in, sign, ask for the attestation."""
    renewal_id = str(uuid.uuid4())
    person = next(each.person for each in SAMPLES if each.file == sample)
    organisation = person.organisation
    document = {
        "purpose": "hk.ecert.renewal-application.v1",
        "renewal_id": renewal_id,
        "nonce": uuid.uuid4().hex,
        "subscriber": {"id": subscriber_id, "name": organisation.name},
        "authorised_representative": {"id": ar_id, "name": person.name},
    }
    (folder / "document.json").write_text(json.dumps(document))
    certificate = system.certificate(sample)
    signer = ["-signer", str(certificate), "-inkey", str(certificate.with_suffix(".key"))]
    made = ["-in", "document.json", "-out", "signature.p7s", "-outform", "DER"]
    openssl(folder, "cms", "-sign", "-binary", "-cades", *made, *signer)
    token = system.sign_in(sample).json["access_token"]
    claims = {
        "sub": ar_id,
        "subscriber_id": subscriber_id,
        "renewal_id": renewal_id,
        "document_sha256": hashlib.sha256((folder / "document.json").read_bytes()).hexdigest(),
    }
    key = SigningKey.load(system.pki.signing / "application.key")
    ticket = sign(claims, kind=TokenKind.DRAFT_TICKET, key=key, now=datetime.now(UTC), issuer="application")
    parts = {"document": "document.json", "signature": "signature.p7s"}
    encoded = {name: base64.b64encode((folder / file).read_bytes()).decode() for name, file in parts.items()}
    return system.client.ask(
        API,
        "/identity/v1/attestations",
        method="POST",
        body=json.dumps({"renewal_id": renewal_id, **encoded}).encode(),
        headers={
            "Authorization": f"Bearer {token}",
            "Idempotency-Key": uuid.uuid4().hex,
            "Content-Type": "application/json",
            "Draft-Ticket": ticket,
        },
    )


def test_openssl_signature_is_attested_and_its_evidence_verified_by_openssl(system: System, tmp_path: Path) -> None:
    answer = attested(system, tmp_path, "chan-mei-ling", "chan-mei-ling", "harbour-lights")
    assert answer.status == 201, answer.body

    command = system.operate("evidence", answer.json["evidence_id"], str(tmp_path / "evidence"), "--actor", "test")

    checked = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert answer.json["document_sha256"] in (tmp_path / "evidence" / "decision.json").read_text()


def posted(system: System, path: str, body: object) -> Answer:
    return system.client.ask(
        API, path, method="POST", body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )


def test_portal_sign_in_uses_a_code(system: System) -> None:
    verifier = "v" * 64
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = urlencode({"redirect_uri": BACK, "code_challenge": challenge, "state": "a-state-of-mine"})
    path = f"/identity/v1/authorise?{query}"
    assert system.client.ask(API, path).status == 404
    nobody = system.client.ask(SIGN_IN, path)
    assert nobody.headers["location"] == f"{BACK}?error=client-certificate-missing&state=a-state-of-mine"

    answer = system.client.ask(SIGN_IN, path, certificate=system.certificate("lee-siu-fong"))

    assert answer.status == 303
    told = parse_qs(urlsplit(answer.headers["location"]).query)
    body = {"code": told["code"][0], "code_verifier": verifier, "redirect_uri": BACK}
    tokens = posted(system, "/identity/v1/codes", body)
    assert tokens.status == 200, tokens.body
    me = system.client.ask(
        API, "/identity/v1/me", headers={"Authorization": f"Bearer {tokens.json['access_token']}"}
    ).json
    assert me["authorised_representative"]["id"] == "lee-siu-fong"
    assert posted(system, "/identity/v1/codes", body).status == 403


def test_challenge_signed_by_openssl_signs_in(system: System, tmp_path: Path) -> None:
    asked = posted(system, "/identity/v1/challenges", {}).json
    assert json.loads(asked["document"])["origin"] == "https://portal.ecert.localhost"
    (tmp_path / "challenge.json").write_bytes(asked["document"].encode())
    certificate = system.certificate("lee-siu-fong")
    signer = ["-signer", str(certificate), "-inkey", str(certificate.with_suffix(".key"))]
    made = ["-in", "challenge.json", "-out", "challenge.p7s", "-outform", "DER"]
    openssl(tmp_path, "cms", "-sign", "-binary", "-cades", *made, *signer)
    signature = base64.b64encode((tmp_path / "challenge.p7s").read_bytes()).decode()

    tokens = posted(
        system, "/identity/v1/challenge-tokens", {"challenge_id": asked["challenge_id"], "signature": signature}
    )

    assert tokens.status == 200, tokens.body


def test_revocation_takes_effect_while_the_system_runs(system: System) -> None:
    holder = x509.load_pem_x509_certificate(system.certificate("wong-ka-ho").read_bytes())
    assert outcome(system.sign_in("wong-ka-ho"))[0] == 200
    revoke(system.pki.client_ca_keys, system.pki.client_crls, holder, datetime.now(UTC))

    wait_until(lambda: outcome(system.sign_in("wong-ka-ho"))[0] == 403, limit=15, every=0.2, what="the refusal")

    assert outcome(system.sign_in("wong-ka-ho")) == (403, "certificate-refused", "certificate-revoked")
    assert outcome(system.sign_in("lee-siu-fong"))[0] == 200

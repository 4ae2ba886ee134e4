"""The real processes together: web, work and the sandbox, with a webhook that really travels."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.db import open_pool
from shared.security.tokens import SigningKey
from tests.integration.services.payment.sandbox_process import API_KEY, NEW_SECRET, Sandbox, free_port, running_sandbox
from tests.integration.services.payment.world import World
from tests.support.builders import signing_key
from tests.support.engines import Database, wait_until


def write_key(path: Path, key: SigningKey) -> None:
    path.write_bytes(key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@contextmanager
def running(environment: dict[str, str], command: str) -> Iterator[None]:
    """Run one of payment's processes."""
    process = subprocess.Popen([sys.executable, "-m", "services.payment.main", command], env=environment)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def settings(folder: Path, database: Database, sandbox_url: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "local",
        "BIND": f"127.0.0.1:{port}",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "IDENTITY_JWKS_FILE": str(folder / "identity.json"),
        "AUDIT_KEY_FILE": str(folder / "audit.pem"),
        "FINGERPRINT_KEY_FILE": str(folder / "audit.pem"),
        "PAYMENT_SIGNING_KEY_FILE": str(folder / "payment.pem"),
        "PAYMENT_JWKS_FILE": str(folder / "payment.json"),
        "PAYMENT_PROVIDER_URL": sandbox_url,
        "PAYMENT_PROVIDER_API_KEY": API_KEY,
        "PAYMENT_WEBHOOK_SECRETS": NEW_SECRET,
        "PAYMENT_RETURN_URL": "https://portal.ecert.example/renewals/{renewal_id}",
        **database.environment,
    }


def test_payment_passes_the_processes_within_seconds(tmp_path: Path, database: Callable[[str], Database]) -> None:
    fresh = database("payment")
    identity_key = signing_key("identity")
    (tmp_path / "identity.json").write_text(json.dumps({"keys": [identity_key.jwk()]}))
    payment_key = signing_key("payment")
    write_key(tmp_path / "payment.pem", payment_key)
    (tmp_path / "payment.json").write_text(json.dumps({"keys": [payment_key.jwk()]}))
    write_key(tmp_path / "audit.pem", signing_key("audit"))
    port, sandbox_port = free_port(), free_port()
    environment = settings(tmp_path, fresh, f"http://127.0.0.1:{sandbox_port}", port)
    webhooks = f"http://127.0.0.1:{port}/payment/v1/provider-webhooks"
    with ExitStack() as stack:
        stack.enter_context(running(environment, "web"))
        stack.enter_context(running(environment, "work"))
        sandbox = stack.enter_context(running_sandbox(tmp_path / "sandbox.sqlite", webhooks, sandbox_port))
        pool = stack.enter_context(open_pool(fresh.url, name="payment-test"))
        world = World(pool=pool, sandbox=sandbox, identity_key=identity_key)
        assert _seconds_to_capture(world, sandbox, f"http://127.0.0.1:{port}") < 5


def _seconds_to_capture(world: World, sandbox: Sandbox, url: str) -> float:
    renewal_id = world.submitted()
    wait_until(lambda: _is_up(url), what="web to come up", limit=20)
    answer = requests.post(
        f"{url}/payment/v1/checkouts",
        json={"renewal_id": str(renewal_id), "authorisation": world.authorisation(renewal_id)},
        headers=world.access() | {"Idempotency-Key": str(uuid.uuid4())},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    begun = time.monotonic()
    sandbox.press(answer.json()["checkout_url"], "pay")
    wait_until(lambda: bool(world.announced(renewal_id)), what="PaymentCaptured", limit=10)
    seconds = time.monotonic() - begun
    receipt = requests.get(f"{url}/payment/v1/payments/{renewal_id}/receipt", headers=world.access(), timeout=10)
    assert receipt.json()["signed"] == world.announced(renewal_id)[0].receipt
    return seconds


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/payment/v1/nothing", timeout=1).status_code == 404
    except requests.RequestException:
        return False


def test_recheck_of_an_unknown_renewal_is_one_line_and_exit_status_1(
    tmp_path: Path, database: Callable[[str], Database]
) -> None:
    fresh = database("payment")
    (tmp_path / "identity.json").write_text(json.dumps({"keys": [signing_key("identity").jwk()]}))
    write_key(tmp_path / "payment.pem", signing_key("payment"))
    (tmp_path / "audit.pem").write_bytes((tmp_path / "payment.pem").read_bytes())
    command = [sys.executable, "-m", "services.payment.main", "recheck", str(uuid.uuid4()), "--actor", "operator-7"]
    environment = settings(tmp_path, fresh, "http://127.0.0.1:1", 0)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["payment-not-ready: there is no payment for this renewal"]

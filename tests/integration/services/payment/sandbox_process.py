"""Runs the sandbox provider as the process it is, and a merchant's end for its webhooks."""

import base64
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, cast

import requests

from tests.support.servers import serving

API_KEY: Final = "sk_sandbox_test"
OLD_SECRET: Final = "whsec_" + base64.b64encode(b"old" * 11).decode()
NEW_SECRET: Final = "whsec_" + base64.b64encode(b"new" * 11).decode()
AUTHORISED: Final = {"Authorization": f"Bearer {API_KEY}"}


@dataclass(frozen=True)
class Received:
    """One webhook as it came in."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Merchant:
    """Takes webhooks; answers with the statuses queued, else 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def wait_for(self, count: int, seconds: float = 10) -> list[Received]:
        """Return the webhooks once there are that many."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} webhooks instead of {count}"
            time.sleep(0.02)
        return self.received


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        merchant = cast("_Server", self.server).merchant
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(merchant.statuses.pop(0) if merchant.statuses else 200)
        self.end_headers()
        merchant.received.append(Received(headers, body))

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    merchant: Merchant


@contextmanager
def running_merchant(tls: ssl.SSLContext | None = None) -> Iterator[Merchant]:
    """Yield a merchant's webhook endpoint on a free loopback port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.merchant = Merchant(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}/webhooks")
    with serving(server):
        yield server.merchant


@dataclass
class Sandbox:
    """The running sandbox, as tests command it."""

    url: str
    process: subprocess.Popen[bytes]

    def order_fault(self, operation: str, kind: str, *, times: int = 1, seconds: float = 0) -> None:
        """Let the next calls of an operation go wrong."""
        order = {"operation": operation, "kind": kind, "times": times, "seconds": seconds}
        answer = requests.post(f"{self.url}/admin/faults", json=order, headers=AUTHORISED, timeout=5)
        assert answer.status_code == 201, answer.text

    def clear_faults(self) -> None:
        """Clear all faults."""
        requests.delete(f"{self.url}/admin/faults", headers=AUTHORISED, timeout=5)

    def effects(self, kind: str, reference: str) -> list[dict[str, object]]:
        """Return what was really done under a reference."""
        answer = requests.get(
            f"{self.url}/admin/effects", params={"reference": reference}, headers=AUTHORISED, timeout=5
        )
        return [row for row in answer.json()["data"] if row["kind"] == kind]

    def forget_keys(self) -> None:
        """Forget every idempotency key."""
        requests.delete(f"{self.url}/admin/keys", headers=AUTHORISED, timeout=5)

    def settle_refunds(self, reference: str, status: str) -> None:
        """Bring the pending refunds under a reference to their end."""
        order = {"reference": reference, "status": status}
        answer = requests.post(f"{self.url}/admin/refunds", json=order, headers=AUTHORISED, timeout=5)
        assert answer.json() == {"settled": 1}, answer.text

    def cancel(self, reference: str) -> None:
        """Close the session under a reference, as the provider may by itself."""
        found = requests.get(
            f"{self.url}/v1/checkout-sessions", params={"reference": reference}, headers=AUTHORISED, timeout=5
        )
        session_id = found.json()["data"][0]["id"]
        path = f"/v1/checkout-sessions/{session_id}/cancel"
        requests.post(f"{self.url}{path}", headers=AUTHORISED | {"Idempotency-Key": path}, timeout=5)

    def webhooks(self) -> list[dict[str, object]]:
        """Return the webhooks owed and delivered."""
        answer = requests.get(f"{self.url}/admin/webhooks", headers=AUTHORISED, timeout=5)
        return list(answer.json()["data"])

    def press(self, checkout_url: str, decision: str) -> requests.Response:
        """Press a button on the checkout page, as a payer."""
        return requests.post(checkout_url, data={"decision": decision}, allow_redirects=False, timeout=5)

    def press_and_follow(self, checkout_url: str, decision: str) -> str:
        """Press a button and read the page it leads to."""
        return requests.post(checkout_url, data={"decision": decision}, timeout=5).text

    def kill(self) -> None:
        """End it without warning, the worker too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_sandbox(store: Path, webhook_url: str, port: int | None = None) -> Iterator[Sandbox]:
    """Yield the sandbox on a free loopback port, ready for requests."""
    port = port or free_port()
    environment = os.environ | {
        "SANDBOX_API_KEY": API_KEY,
        "SANDBOX_WEBHOOK_URL": webhook_url,
        "SANDBOX_WEBHOOK_SECRETS": f"{OLD_SECRET},{NEW_SECRET}",
    }
    command = [sys.executable, "-m", "devtools.payment_sandbox", "--port", str(port), "--store", str(store)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    sandbox = Sandbox(f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_ready(sandbox)
        yield sandbox
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(sandbox: Sandbox) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if requests.get(f"{sandbox.url}/livez", timeout=1).ok:
                return
        except requests.RequestException:
            pass
        assert sandbox.process.poll() is None, "the sandbox ended at once"
        assert time.monotonic() < deadline, "the sandbox did not come up"
        time.sleep(0.05)

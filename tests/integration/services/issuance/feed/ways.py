"""Two outsiders: one reads Kafka with confluent-kafka and a JOSE library, one HTTP with curl and openssl."""

import base64
import contextlib
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from confluent_kafka import Consumer

from tests.integration.services.issuance.feed.outsider import Ledger, Received

SIGNED: Final = ("dataschema", "id", "position", "sequence", "source", "subject", "time", "type")
SCRIPT: Final = Path("docs/events/verify.sh")
TOPIC: Final = "issuance.events"


@dataclass(frozen=True, kw_only=True)
class JOSE:
    """Verifies with a JOSE library what the guide says is signed."""

    jwks: str

    def __call__(self, event: Received) -> bool:
        signed = {name: event.attributes[name] for name in SIGNED}
        signed |= {"feed": TOPIC, "datasha256": hashlib.sha256(event.data).hexdigest()}
        payload = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        header, _, value = event.attributes["signature"].split(".")
        whole = f"{header}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.{value}"
        keys = {key.key_id: key for key in jwt.PyJWKSet.from_json(self.jwks).keys}
        try:
            jwt.PyJWS().decode(whole, keys[jwt.get_unverified_header(whole)["kid"]], algorithms=["ES256"])
        except jwt.InvalidSignatureError:
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class OpenSSL:
    """Verifies with the script of the guide."""

    jwks: Path

    def __call__(self, event: Received) -> bool:
        data = self.jwks.with_name("data")
        data.write_bytes(event.data)
        named = [f"{name}={event.attributes[name]}" for name in (*SIGNED, "signature")]
        done = subprocess.run(
            ["sh", str(SCRIPT), str(self.jwks), str(data), f"feed={TOPIC}", *named],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith(("good ", "wrong: ")), done.stderr
        return done.returncode == 0


def read_kafka(login: dict[str, Any], ledger: Ledger, enough: Callable[[Ledger], bool], *, group: str) -> None:
    """Read the topic until there is enough; offsets are kept after the work. Fails after half a minute."""
    consumer = Consumer(
        {
            "bootstrap.servers": login["bootstrap_servers"],
            "security.protocol": login["security_protocol"],
            "sasl.mechanism": login["sasl_mechanism"],
            "sasl.username": login["sasl_plain_username"],
            "sasl.password": login["sasl_plain_password"],
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "reconnect.backoff.max.ms": 500,
        }
    )
    with contextlib.closing(consumer):
        consumer.subscribe([TOPIC])
        until = time.monotonic() + 30
        while not enough(ledger):
            assert time.monotonic() < until, f"only {sorted(ledger.seen)} came, gaps {ledger.gaps}"
            for message in consumer.consume(100, timeout=0.5):
                if message.error() is not None:
                    continue  # a broker that is away comes back
                headers: Any = message.headers()
                attributes = {name.removeprefix("ce_"): raw.decode() for name, raw in headers}
                ledger.take(Received(attributes, message.value() or b""))
                consumer.commit(message=message, asynchronous=False)


@dataclass(frozen=True, kw_only=True)
class Curl:
    """A client of the gateway on the command line."""

    port: int
    root: Path
    certificate: Path

    def __call__(self, path: str) -> bytes:
        """Return the body of the answer; anything but success fails."""
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed, and only root can install it: apt-get install curl")
        url = f"https://backoffice.ecert.localhost:{self.port}{path}"
        key = self.certificate.with_suffix(".key")
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--cacert", str(self.root)]
        done = subprocess.run(
            [*command, "--cert", str(self.certificate), "--key", str(key), url], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def read_http(curl: Curl, ledger: Ledger, *, after: int = 0, limit: int = 7) -> int:
    """Read page after page up to the head; the position to go on from."""
    while True:
        batch = json.loads(curl(f"/issuance/v1/issuance-events?after={after}&limit={limit}"))
        if not batch:
            return after
        for attributes in batch:
            ledger.take(Received(attributes, base64.b64decode(attributes.pop("data_base64"))))
            after = int(attributes["position"])

"""Starting the test processes and waiting for their end."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.engines import Database, Kafka

ROOT = Path(__file__).parents[3]
Process = subprocess.Popen[bytes]


def environment(kafka: Kafka, database: Database, **more: str) -> dict[str, str]:
    """Return what a service's process finds in its environment."""
    return {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "local",
        "IDENTITY_JWKS_FILE": "unused",
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "LOG_LEVEL": "WARNING",
        **kafka.environment(database.service),
        **database.environment,
        **more,
    }


@contextlib.contextmanager
def started(who: str, *command: str, env: Mapping[str, str], log: Path | None = None) -> Iterator[Process]:
    """Yield a process of the writer or the reader, what it says in `log`; killed after the block if it still runs."""
    key = ec.generate_private_key(ec.SECP256R1())
    with tempfile.NamedTemporaryFile(suffix=".pem") as key_file:
        key_file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key_file.flush()
        output = log.open("wb") if log else None
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.shared.processes", who, *command],
            cwd=ROOT,
            env={**env, "AUDIT_KEY_FILE": key_file.name, "FINGERPRINT_KEY_FILE": key_file.name},
            stdout=output,
            stderr=output,
        )
        if output:
            output.close()
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def seconds_to_end(process: Process) -> float:
    """Ask it to end; how long that took. It must not fail."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    return time.monotonic() - begun

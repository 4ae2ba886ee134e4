"""The feed's real processes, and the kit's command as a person starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.services.issuance.conftest import environment, issuance, pool, world
from tests.integration.services.issuance.feed.conftest import feed, own_kafka, pki
from tests.integration.services.issuance.feed.running import ROOT, Running
from tests.support.engines import Kafka

__all__ = ["environment", "feed", "issuance", "own_kafka", "pki", "pool", "world"]


@dataclass(frozen=True, kw_only=True)
class Kit:
    """`python -m backoffice`, with a memory of its own."""

    environment: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "backoffice", *arguments]

    def with_state(self, name: str) -> "Kit":
        """Return the same with another memory."""
        file = Path(self.environment["BACKOFFICE_STATE_FILE"]).with_name(name)
        return Kit(environment={**self.environment, "BACKOFFICE_STATE_FILE": str(file)})

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run the kit to its end."""
        environment = {**self.environment, **more}
        return subprocess.run(
            self.command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=90
        )

    def start(self, *arguments: str, out: Path, **more: str) -> "subprocess.Popen[bytes]":
        """Start the kit; it runs until it is stopped."""
        with out.open("ab") as file, out.with_suffix(".err").open("ab") as said:
            return subprocess.Popen(
                self.command(*arguments), cwd=ROOT, env={**self.environment, **more}, stdout=file, stderr=said
            )


def documents(text: str) -> list[dict[str, Any]]:
    """Return the lines of `follow --json`; one that was cut off by a kill is omitted."""
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def positions(text: str) -> list[int]:
    """Return the positions of the events that were printed."""
    return [int(each["position"]) for each in documents(text) if "finding" not in each]


def findings(text: str) -> list[tuple[str, int]]:
    """Return what was found wrong."""
    return [(each["finding"], each["position"]) for each in documents(text) if "finding" in each]


def kit_of(feed: Running, folder: Path, kafka: Kafka | None = None) -> Kit:
    """Return the kit of the sample client `backoffice`."""
    environment = {
        "PATH": os.environ["PATH"],
        "FEED_URL": f"https://backoffice.ecert.localhost:{feed.port}",
        "FEED_ADDRESS": f"127.0.0.1:{feed.port}",
        "FEED_CLIENT_CERTIFICATE_FILE": str(feed.pki.back_office / "backoffice.pem"),
        "FEED_CLIENT_KEY_FILE": str(feed.pki.back_office / "backoffice.key"),
        "FEED_CA_FILE": str(feed.pki.gateway / "root.pem"),
        "FEED_PATIENCE_SECONDS": "2",
        "BACKOFFICE_STATE_FILE": str(folder / "state.sqlite"),
    }
    if kafka is not None:
        environment |= {**kafka.environment("backoffice"), "KAFKA_SESSION_TIMEOUT_MS": "6000"}
    return Kit(environment=environment)


@pytest.fixture
def kit(feed: Running, tmp_path: Path) -> Kit:
    """The kit over HTTP alone."""
    return kit_of(feed, tmp_path)

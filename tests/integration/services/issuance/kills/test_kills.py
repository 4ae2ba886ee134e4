"""Processes of issuance killed at every step from a CSR to the published CRL, and all of them started again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.tx import utc_now
from tests.integration.services.issuance.kills.invariants import broken
from tests.integration.services.issuance.kills.processes import Processes
from tests.integration.services.issuance.kills.scene import Scene
from tests.integration.services.issuance.world import World
from tests.support.builders import signing_key
from tests.support.engines import Database, Kafka, free_port
from tests.support.transparency import RunningLogs


@pytest.fixture
def scene(
    world: World, issuance: Database, environment: dict[str, str], kafka: Kafka, tmp_path: Path
) -> Iterator[Scene]:
    """A fresh database, with logs that have nothing of other tests."""
    feed, journal, port = signing_key("feed"), tmp_path / "journal", free_port()
    journal.mkdir()
    (tmp_path / "feed.key").write_bytes(feed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "feed.json").write_text(json.dumps({"keys": [feed.jwk()]}))
    logs = RunningLogs(tmp_path / "logs")
    logs.now = utc_now
    world.transparency = logs
    unused = environment["CA_CERTIFICATE_FILE"]
    more = {
        "LOG_LEVEL": "ERROR",
        "BIND": f"127.0.0.1:{port}",
        "FEED_KEY_FILE": str(tmp_path / "feed.key"),
        "FEED_JWKS_FILE": str(tmp_path / "feed.json"),
        "CT_LOG_LIST_FILE": str(logs.list_file),
        "PERSPECTIVES_CA_FILE": unused,
        "PERSPECTIVES_CERTIFICATE_FILE": unused,
        "PERSPECTIVES_KEY_FILE": unused,
    }
    processes = Processes(environment={**environment, **kafka.environment("issuance"), **more}, journal=journal)
    yield Scene(world=world, database=issuance, processes=processes, port=port)
    logs.close()


@pytest.mark.timeout(300)
def test_kill_9_at_every_step_loses_nothing_and_signs_nothing_twice(scene: Scene, kafka: Kafka) -> None:
    assert scene.kill_at_each_point() == []
    scene.recover()
    assert not (found := broken(scene, kafka)), "\n".join(found)

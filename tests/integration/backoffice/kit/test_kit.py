"""The kit's commands on the real feed: both ways in, crashes, outages, looking back, exports; and every refusal."""

import base64
import csv
import io
import json
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from deploy.local import kafka as local_kafka
from deploy.local.waiting import wait_until
from tests.faults.shared.messaging.test_outages import kill
from tests.integration.backoffice.kit.conftest import Kit, findings, kit_of, positions
from tests.integration.services.issuance.feed.running import Running
from tests.integration.services.issuance.feed.story import all_sent, all_stamped, certificates, head, live
from tests.integration.services.issuance.world import World
from tests.support.engines import Database, Kafka

pytestmark = pytest.mark.timeout(240)


def exported(kit: Kit) -> dict[str, dict[str, str]]:
    """Return the export, as `certificates` has issuance's own."""
    text = kit.run("export", "--csv", "-").stdout
    rows = csv.DictReader(io.StringIO(text.rpartition("# end")[0]))
    return {
        row["serial"]: {
            "sha256": row["sha256"],
            "state": f"revoked: {row['revocation_reason']}" if row["state"] == "revoked" else row["state"],
        }
        for row in rows
    }


@pytest.fixture
def last(world: World, feed: Running, kafka: Kafka) -> int:
    """Head of a feed with some events."""
    kafka.empty()
    with feed.relay(kafka):
        live(world, 1)
        wait_until(lambda: all_sent(world), limit=20, what="all is sent")
    return head(world)


def test_kit_over_http_follows_resumes_and_exports_all_certificates(
    world: World, kit: Kit, last: int, feed: Running, kafka: Kafka, tmp_path: Path
) -> None:
    first = kit.run("follow", "--http", "--json", "--until-head")
    assert (first.returncode, positions(first.stdout), findings(first.stdout)) == (0, [*range(1, last + 1)], [])
    with feed.relay(kafka):
        live(world, 2)
        wait_until(lambda: all_stamped(world), limit=20, what="all is stamped")
    second = kit.run("follow", "--http", "--json", "--until-head")
    assert positions(second.stdout) == [*range(last + 1, head(world) + 1)]
    assert exported(kit) == certificates(world)
    (tmp_path / "events").write_text(first.stdout + second.stdout)
    verified = kit.run("verify", str(tmp_path / "events"))
    assert (verified.returncode, "all of it is good" in verified.stdout) == (0, True)


def test_verify_reports_whether_an_export_is_complete(kit: Kit, last: int, tmp_path: Path) -> None:
    kit.run("follow", "--http", "--json", "--until-head")
    kit.run("export", "--csv", str(tmp_path / "whole.csv"))
    whole = (tmp_path / "whole.csv").read_bytes()
    (tmp_path / "cut.csv").write_bytes(whole[: len(whole) // 2])
    for name, status, said in (("whole", 0, "all of it is good"), ("cut", 1, "truncated: the last line")):
        done = kit.run("verify", str(tmp_path / f"{name}.csv"))
        assert (done.returncode, said in done.stdout) == (status, True), done.stdout


def test_replay_from_a_serial_or_a_time_processes_nothing_twice(kit: Kit, last: int) -> None:
    everything = kit.run("follow", "--http", "--json", "--until-head").stdout
    events = [json.loads(line) for line in everything.splitlines()]
    issued = [each for each in events if each["type"].endswith("certificate-issued.v1")]
    at, serial = int(issued[1]["position"]), json.loads(base64.b64decode(issued[1]["data_base64"]))["serial"]
    back = kit.run("follow", "--http", "--json", "--until-head", "--from-serial", serial.upper())
    assert positions(back.stdout) == [*range(at, last + 1)]
    since = kit.run("follow", "--http", "--json", "--until-head", "--since", events[-1]["time"])
    assert positions(since.stdout)[-1] == last
    assert all(json.loads(line)["time"] >= events[-1]["time"] for line in since.stdout.splitlines()[:1])
    fresh = Kit(
        environment={**kit.environment, "BACKOFFICE_STATE_FILE": f"{kit.environment['BACKOFFICE_STATE_FILE']}2"}
    )
    late = fresh.run("follow", "--http", "--json", "--until-head", "--from-serial", serial)
    assert positions(late.stdout) == [*range(at, last + 1)]
    middle = Kit(
        environment={**kit.environment, "BACKOFFICE_STATE_FILE": f"{kit.environment['BACKOFFICE_STATE_FILE']}3"}
    )
    beyond = middle.run("follow", "--http", "--json", "--until-head", "--from-position", "5")
    assert (positions(beyond.stdout), findings(beyond.stdout)) == ([*range(6, last + 1)], [])
    other = middle.run("follow", "--http", "--json", "--until-head", "--from-position", "4")
    assert (other.returncode, "begins after position 5" in other.stderr) == (2, True)


def test_kit_over_kafka_survives_kill_9_of_itself_and_of_the_broker(
    world: World, feed: Running, own_kafka: Kafka, tmp_path: Path
) -> None:
    kit, out = kit_of(feed, tmp_path, own_kafka), tmp_path / "out"
    with feed.relay(own_kafka), ExitStack() as again:
        following = kit.start("follow", "--json", out=out)
        live(world, 1)
        wait_until(lambda: set(positions(out.read_text())) == {*range(1, 13)}, limit=60, what="it has all of it")
        following.kill()
        following.wait()
        live(world, 2)
        kill(str(own_kafka.broker.folder), signal.SIGKILL)
        again.enter_context(local_kafka.running(own_kafka.broker))
        with world.begin() as tx:
            tx.conn.execute("UPDATE outbox SET sent_at = NULL WHERE position <= 6")
        following = kit.start("follow", "--json", out=out)
        wait_until(lambda: len(set(positions(out.read_text()))) == 24, limit=90, what="it has the rest")
        wait_until(lambda: all_sent(world), limit=60, what="all is sent")
        time.sleep(2)  # a second copy would come in this time
        following.send_signal(signal.SIGTERM)
        assert following.wait(30) == 0
    assert positions(out.read_text()) == [*range(1, 25)]
    assert exported(kit) == certificates(world)


def test_events_missing_in_kafka_are_fetched_and_lost_or_forged_ones_named(
    world: World, feed: Running, kafka: Kafka, issuance: Database, tmp_path: Path
) -> None:
    kafka.empty()
    live(world, 1)
    with feed.relay(kafka):
        wait_until(lambda: all_sent(world), limit=20, what="all is stamped and sent")
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute("DELETE FROM outbox WHERE position = 3")
        conn.execute("UPDATE outbox SET data = convert_to('{}', 'UTF8') WHERE position = 5")
        conn.execute("UPDATE outbox SET sent_at = CASE WHEN position <> 7 THEN NULL ELSE sent_at END")
    kafka.empty()
    with feed.relay(kafka):
        wait_until(lambda: all_sent(world), limit=20, what="all but one is sent")
    kit = kit_of(feed, tmp_path, kafka)
    done = kit.run("follow", "--json", "--until-head", FEED_GROUP=f"backoffice.{time.time_ns()}")
    assert done.returncode == 1
    assert positions(done.stdout) == [position for position in range(1, 13) if position not in (3, 5)]
    named = findings(done.stdout)
    assert [each for each in named if each[0] != "out-of-sequence"] == [("forged", 5), ("gap", 3), ("gap", 5)]


def test_closed_output_pipe_loses_no_event(kit: Kit, last: int) -> None:
    following = subprocess.Popen(
        kit.command("follow", "--http", "--json"), env=dict(kit.environment), stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    taken = [json.loads(following.stdout.readline())["position"] for _ in range(3)]
    following.stdout.close()
    following.kill()
    following.wait()
    assert taken == ["1", "2", "3"]
    rest = kit.run("follow", "--http", "--json", "--until-head")
    assert {*positions(rest.stdout)} | {1, 2, 3} == {*range(1, last + 1)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"FEED_CLIENT_CERTIFICATE_FILE": "stranger.pem", "FEED_CLIENT_KEY_FILE": "stranger.key"}, "reader-unknown"),
        ({"FEED_CLIENT_CERTIFICATE_FILE": "monitor.pem", "FEED_CLIENT_KEY_FILE": "monitor.key"}, "no-right"),
        ({"FEED_ADDRESS": "127.0.0.1:1"}, "refused"),
        ({"FEED_CA_FILE": "ca.pem"}, "CERTIFICATE_VERIFY_FAILED"),
    ],
    ids=["stranger", "monitor", "nobody there", "another's certificate"],
)
def test_refusal_is_one_line_with_the_reason(kit: Kit, feed: Running, changes: dict[str, str], said: str) -> None:
    there = {
        name: str(feed.pki.back_office / value) if name.endswith("_FILE") else value for name, value in changes.items()
    }
    done = kit.run("follow", "--http", **there)
    assert done.returncode == 2
    assert (said in done.stderr, done.stdout) == (True, "")
    assert len(done.stderr.splitlines()) == 1


def test_state_ahead_of_the_feed_stops_the_kit(kit: Kit, last: int) -> None:
    ahead = kit.run("follow", "--http", "--until-head", "--from-position", str(last + 5))
    assert (ahead.returncode, "position-ahead" in ahead.stderr) == (0, False), "it is at the head already"
    ahead = kit.run("follow", "--http")
    assert (ahead.returncode, "position-ahead" in ahead.stderr) == (2, True)


def test_missing_settings_are_all_named(kit: Kit) -> None:
    bare = Kit(environment={"PATH": kit.environment["PATH"]})
    assert "KAFKA_BOOTSTRAP_SERVERS" in bare.run("follow").stderr
    http = bare.run("follow", "--http").stderr
    assert all(name in http for name in ("FEED_URL", "FEED_CLIENT_CERTIFICATE_FILE", "FEED_CLIENT_KEY_FILE"))
    assert "run follow first" in bare.run("export", "--csv", "-", BACKOFFICE_STATE_FILE="/nowhere").stderr

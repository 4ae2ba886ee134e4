"""Two outsiders who share no code with us rebuild the list of certificates, and name what is wrong with the feed."""

import signal
from contextlib import ExitStack

import psycopg
import pytest

from deploy.local import kafka as local_kafka
from deploy.local.waiting import wait_until
from tests.faults.shared.messaging.test_outages import kill
from tests.integration.services.issuance.feed.outsider import Ledger
from tests.integration.services.issuance.feed.running import Running
from tests.integration.services.issuance.feed.story import all_sent, all_stamped, certificates, head, live
from tests.integration.services.issuance.feed.ways import JOSE, OpenSSL, read_http, read_kafka
from tests.integration.services.issuance.world import World
from tests.support.engines import Database, Kafka

pytestmark = pytest.mark.timeout(240)


def test_both_samples_have_exactly_all_certificates_after_outage_repeats_and_replay(
    world: World, feed: Running, own_kafka: Kafka
) -> None:
    login, curl = own_kafka.settings("backoffice"), feed.curl("backoffice")
    jose, openssl = JOSE(jwks=feed.jwks.read_text()), OpenSSL(jwks=feed.jwks)
    kafka_ledger, http_ledger = Ledger(jose), Ledger(openssl)

    def complete(ledger: Ledger) -> bool:
        return ledger.seen.keys() == {*range(1, head(world) + 1)}

    with feed.relay(own_kafka), ExitStack() as again:
        live(world, 1)
        wait_until(lambda: all_sent(world), limit=20, what="all is sent")
        read_kafka(login, kafka_ledger, complete, group="backoffice.ledger")
        after = read_http(curl, http_ledger)
        assert after == head(world) == 12

        kill(str(own_kafka.broker.folder), signal.SIGKILL)
        live(world, 2)
        wait_until(lambda: all_stamped(world), limit=20, what="all is stamped, though Kafka is away")
        after = read_http(curl, http_ledger, after=after)
        assert http_ledger.certificates == certificates(world), "HTTP needs no Kafka"
        again.enter_context(local_kafka.running(own_kafka.broker))
        wait_until(lambda: all_sent(world), limit=60, what="all is sent")
        read_kafka(login, kafka_ledger, complete, group="backoffice.ledger")

        with world.begin() as tx:
            tx.conn.execute("UPDATE outbox SET sent_at = NULL WHERE position % 2 = 0")
        wait_until(lambda: all_sent(world), limit=20, what="half of it is sent again")
        repeated = head(world) // 2
        read_kafka(login, kafka_ledger, lambda ledger: ledger.repeats >= repeated, group="backoffice.ledger")
        read_http(curl, http_ledger, after=3)

        kafka_replay, http_replay = Ledger(jose), Ledger(openssl)
        read_kafka(login, kafka_replay, complete, group="backoffice.replay")
        read_http(curl, http_replay)

    assert min(kafka_ledger.repeats, http_ledger.repeats) >= repeated
    for ledger in (kafka_ledger, http_ledger, kafka_replay, http_replay):
        assert ledger.certificates == certificates(world)
        assert len(ledger.certificates) == 6
        assert (ledger.forged, ledger.gaps, ledger.out_of_sequence) == ([], [], [])


def test_both_samples_report_a_planted_gap_and_a_forged_event(
    world: World, feed: Running, kafka: Kafka, issuance: Database
) -> None:
    """An intruder with every right in the database takes an event away and changes another; the key they lack."""
    kafka.empty()
    live(world, 1)
    forged = "replace(convert_from(data, 'UTF8'), 'certificate_sha256\":\"', 'certificate_sha256\":\"00')"
    with feed.relay(kafka):
        wait_until(lambda: all_sent(world), limit=20, what="all is sent")
    ((lost,), (changed,)) = world.rows(
        "SELECT position FROM outbox WHERE type LIKE %s ORDER BY position LIMIT 2", "%certificate-issued.v1"
    )
    with psycopg.connect(issuance.superuser_url) as conn:
        conn.execute("DELETE FROM outbox WHERE position = %s", (lost,))
        conn.execute(f"UPDATE outbox SET data = convert_to({forged}, 'UTF8') WHERE position = %s".encode(), (changed,))
        conn.execute("UPDATE outbox SET sent_at = NULL")
    kafka.empty()
    with feed.relay(kafka):
        wait_until(lambda: all_sent(world), limit=20, what="all is sent")

    jose, openssl = JOSE(jwks=feed.jwks.read_text()), OpenSSL(jwks=feed.jwks)
    kafka_ledger, http_ledger = Ledger(jose), Ledger(openssl)
    expected = head(world) - 2
    login = kafka.settings("backoffice")
    read_kafka(login, kafka_ledger, lambda ledger: len(ledger.seen) >= expected, group="backoffice.planted")
    read_http(feed.curl("backoffice"), http_ledger)
    for ledger in (kafka_ledger, http_ledger):
        assert ledger.forged == [changed]
        assert ledger.gaps == sorted([lost, changed])
        assert len(ledger.out_of_sequence) == 2, "the next event of each of the two says so too"
        assert [each["sha256"] for each in ledger.certificates.values()].count("missing") == 2

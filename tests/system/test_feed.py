"""The back office's sample client reads what the whole system announced, beside those who may not."""

import base64
import json

import pytest
import urllib3
from kafka import KafkaConsumer, TopicPartition

from deploy.gateway.rules import BACK_OFFICE_HOST
from deploy.kafka.topics import PARTITIONS
from deploy.local import kafka as local_kafka
from deploy.local.processes import table
from deploy.local.stack import outside
from deploy.local.waiting import wait_until
from devtools.scenario.gateway_client import Connection, Gateway
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from shared.events.base import Topic
from shared.web.https_client import APIProblem

EVENTS = "/issuance/v1/issuance-events"


def connect(system: Target, name: str) -> Connection:
    """Return the gateway's back-office host as one of the sample clients."""
    installation = system.installation
    folder = installation.pki.back_office
    gateway = Gateway(port=installation.ports.gateway, ca_file=installation.pki.gateway / "root.pem")
    return gateway.connect(BACK_OFFICE_HOST, certificate=folder / f"{name}.pem", key=folder / f"{name}.key")


def test_feed_has_the_same_bytes_over_http_and_kafka(system: Target, victim: Journey) -> None:
    backoffice = connect(system, "backoffice")
    try:
        batch = json.loads(backoffice.request("GET", f"{EVENTS}?limit=1000").body)
    finally:
        backoffice.close()
    over_http = {each["position"]: base64.b64decode(each["data_base64"]) for each in batch}
    assert [int(position) for position in over_http] == [*range(1, len(batch) + 1)]
    assert victim.id in {each["subject"] for each in batch}
    installation = system.installation
    login = local_kafka.client_settings(
        installation.broker.address, "backoffice", installation.passwords["kafka/backoffice"]
    )
    group = {"group_id": "backoffice.system", "enable_auto_commit": False}
    with KafkaConsumer(**login, **group, auto_offset_reset="earliest", consumer_timeout_ms=3000) as consumer:
        consumer.assign([TopicPartition(Topic.ISSUANCE.value, partition) for partition in range(PARTITIONS)])
        over_kafka = {dict(record.headers)["ce_position"].decode(): record.value for record in consumer}
        consumer.commit()
    assert over_http.items() <= over_kafka.items()
    wait_until(lambda: 'reader="backoffice"' in lag(system), limit=40, what="issuance's relay sees how far it is")


def lag(system: Target) -> str:
    """Return what issuance's relay says of its readers."""
    (relay,) = [each for each in table(system.installation, outside()) if each.name == "issuance-relay"]
    answer = urllib3.request("GET", f"http://127.0.0.1:{relay.admin_port}/metrics")
    return "\n".join(line for line in answer.data.decode().splitlines() if line.startswith("feed_reader_lag_records{"))


@pytest.mark.parametrize("name", ["monitor", "stranger"])
def test_other_certificates_of_the_same_ca_cannot_read_events(system: Target, name: str) -> None:
    client = connect(system, name)
    try:
        with pytest.raises(APIProblem) as refused:
            client.request("GET", EVENTS)
    finally:
        client.close()
    assert refused.value.status == 403

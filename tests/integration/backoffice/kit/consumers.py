"""An outside reader's consumer, by confluent-kafka and the guide: right, or with the given fault.

`python -m tests.integration.backoffice.kit.consumers {right,no-dedupe,commits-first,ignores-gaps}`
"""

import base64
import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import jwt
from confluent_kafka import Consumer, KafkaException

SIGNED = ("dataschema", "id", "position", "sequence", "source", "subject", "time", "type")
TOPIC = "issuance.events"


class Ending(BaseException):
    """SIGTERM."""


def end(number: int, frame: object) -> None:
    raise Ending


class Reader:
    def __init__(self, flaw: str) -> None:
        self.flaw = flaw
        self.keys = {
            key.key_id: key for key in jwt.PyJWKSet.from_json(Path(os.environ["FEED_JWKS_FILE"]).read_text()).keys
        }
        self.db = sqlite3.connect(f"{os.environ['STATE_FOLDER']}/consumer.sqlite")
        self.db.execute("CREATE TABLE IF NOT EXISTS seen (position INTEGER PRIMARY KEY)")
        self.patience = float(os.environ["FEED_PATIENCE_SECONDS"])
        self.hole: tuple[int, float] | None = None

    def is_good(self, attributes: dict[str, str], data: bytes) -> bool:
        signed = {name: attributes[name] for name in SIGNED}
        signed |= {"feed": TOPIC, "datasha256": hashlib.sha256(data).hexdigest()}
        payload = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        header, _, value = attributes["signature"].split(".")
        whole = f"{header}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.{value}"
        try:
            jwt.PyJWS().decode(whole, self.keys[jwt.get_unverified_header(whole)["kid"]], algorithms=["ES256"])
        except jwt.InvalidSignatureError:
            return False
        return True

    def knows(self, position: int) -> bool:
        return self.db.execute("SELECT 1 FROM seen WHERE position = ?", (position,)).fetchone() is not None

    def say(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), flush=True)

    def take(self, message: Any) -> None:
        attributes = {name.removeprefix("ce_"): raw.decode() for name, raw in message.headers()}
        position = int(attributes["position"])
        if self.flaw != "no-dedupe" and self.knows(position):
            return
        if not self.is_good(attributes, message.value()):
            self.say({"finding": "forged", "position": position})
            return
        self.say({"position": position, "id": attributes["id"]})
        self.db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (position,))

    def look_for_gaps(self) -> None:
        (last,) = self.db.execute("SELECT COALESCE(max(position), 0) FROM seen").fetchone()
        missing = next((position for position in range(1, last) if not self.knows(position)), None)
        if missing is None or self.flaw == "ignores-gaps":
            return
        if self.hole is None or self.hole[0] != missing:
            self.hole = (missing, time.monotonic())
        elif time.monotonic() - self.hole[1] > self.patience:
            self.say({"finding": "gap", "position": missing})
            with self.db:
                self.db.execute("INSERT INTO seen VALUES (?)", (missing,))


def commit(consumer: Consumer) -> None:
    """Ignore an unavailable broker and a rebalance: events that are redelivered are known."""
    with contextlib.suppress(KafkaException):
        consumer.commit(asynchronous=False)


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    reader = Reader(sys.argv[1])
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "security.protocol": os.environ["KAFKA_SECURITY_PROTOCOL"],
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": os.environ["KAFKA_USERNAME"],
            "sasl.password": os.environ["KAFKA_PASSWORD"],
            "group.id": os.environ["FEED_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "reconnect.backoff.max.ms": 500,
        }
    )
    consumer.subscribe([TOPIC])
    try:
        while True:
            messages = [each for each in consumer.consume(500, timeout=0.5) if each.error() is None]
            if messages and reader.flaw == "commits-first":
                commit(consumer)
            with reader.db:
                for message in messages:
                    reader.take(message)
            if messages and reader.flaw != "commits-first":
                commit(consumer)
            if not messages:
                reader.look_for_gaps()
    except Ending:
        consumer.close()


if __name__ == "__main__":
    main()

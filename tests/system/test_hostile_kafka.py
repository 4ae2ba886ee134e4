"""An intruder with a service's Kafka rights: issuance opens nothing, one key is held, and everybody else goes on."""

import contextlib
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from shared.events.application import CSRRequested
from shared.events.base import Topic
from shared.events.issuance import IssuanceWithheld
from shared.events.payment import PaymentCaptured
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.vocabulary import RenewalId
from tests.support.builders import AR, Item, document, receipt, signing_key
from tests.system.intruder import Intruder, StrangeName, attributes, genuine, held, snappy
from tests.system.readings import events, rows

Begin = Callable[..., Journey]
Forge = Callable[[Target, dict[str, Any], str], dict[str, Any]]


@pytest.fixture(scope="module")
def intruder(system: Target) -> Intruder:
    """In application, the service whose word starts everything."""
    return Intruder(system=system, principal="application")


@pytest.fixture(scope="module")
def sacrifice(system: Target, spare: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """A paid renewal whose own key is attacked, so that others are not."""
    journey = system.journey([next(spare)], tmp_path_factory.mktemp("sacrifice"))
    journey.apply()
    journey.receive()
    yield journey
    journey.ar.close()


def wait_until_held(system: Target, service: str, key: str, count: int = 1) -> list[tuple[str, str]]:
    """Return the service's held events of this key, once there are any."""
    look = lambda: found if len(found := held(system, service, key)) >= count else None  # noqa: E731
    return wait_for(f"{service} to hold {key}", look, every=0.1)


def opened(system: Target, renewal_id: str) -> list[tuple[Any, ...]]:
    """Return the orders of a renewal, as issuance has them."""
    return rows(system, "issuance", "SELECT item_id, state, server_names FROM orders WHERE renewal_id = %s", renewal_id)


def made_up(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return both proofs by a stranger, over a document of the intruder's own."""
    names = Item(server_names=("www.gov.hk",))
    renewal_id, now = RenewalId(uuid.UUID(key)), datetime.now(UTC)
    content = document(renewal_id, [names])
    proofs = {
        "attestation": AR().attestation(renewal_id, content, now, key="stranger"),
        "receipt": receipt(renewal_id, content, names.amount_minor, now, key="stranger"),
    }
    return data | proofs | {"renewal_id": key, "document": content.decode()}


def made_up_under_identitys_name(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an attestation by a stranger's key that claims to be identity's."""
    forged = made_up(system, data, key)
    kid = SigningKey.load(system.installation.pki.signing / "identity.key").kid
    stranger = SigningKey(key=signing_key("stranger").key, kid=kid)
    said = {"sub": "chan-mei-ling", "renewal_id": key}
    return forged | {
        "attestation": sign(said, kind=TokenKind.ATTESTATION, key=stranger, now=datetime.now(UTC), issuer="identity")
    }


def of_another_renewal(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return genuine proofs, to open a second set of orders."""
    return data | {"renewal_id": key}


def of_another_renewal_in_the_document(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return genuine proofs with a document that claims to be of this renewal."""
    return data | {"renewal_id": key, "document": data["document"].replace(data["renewal_id"], key)}


def without_proofs(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return just asked for."""
    return data | {"renewal_id": key, "attestation": "", "receipt": "x" * 100_000}


def with_the_proofs_swapped(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return each token in the other's place."""
    return data | {"renewal_id": key, "attestation": data["receipt"], "receipt": data["attestation"]}


def by_the_audit_key(system: Target, data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return proofs signed by a key of the intruded service."""
    own = SigningKey.load(system.installation.pki.signing / "application-audit.key")
    said = {"sub": "chan-mei-ling", "renewal_id": key}
    token = sign(said, kind=TokenKind.ATTESTATION, key=own, now=datetime.now(UTC), issuer="identity")
    return data | {"renewal_id": key, "attestation": token}


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (made_up, "token-refused"),
        (made_up_under_identitys_name, "token-refused"),
        (of_another_renewal, "proof-refused"),
        (of_another_renewal_in_the_document, "proof-refused"),
        (without_proofs, "token-refused"),
        (with_the_proofs_swapped, "token-refused"),
        (by_the_audit_key, "token-refused"),
    ],
)
def test_forged_request_opens_no_order_and_sends_no_mail(
    system: Target, intruder: Intruder, victim: Journey, forge: Forge, reason: str
) -> None:
    key = str(uuid.uuid4())
    before = opened(system, victim.id)
    intruder.request_csrs(forge(system, genuine(system, victim.id), key), key=key)
    for service in ("issuance", "mailing"):
        assert wait_until_held(system, service, key) == [(Topic.APPLICATION, reason)]
    assert opened(system, key) == []
    assert rows(system, "mailing", "SELECT 1 FROM mails WHERE renewal_id = %s", key) == []
    assert rows(system, "issuance", "SELECT 1 FROM renewals WHERE renewal_id = %s", key) == []
    assert opened(system, victim.id) == before
    assert held(system, "issuance", victim.id) == []


def test_right_proofs_under_another_key_are_held_under_that_key(
    system: Target, intruder: Intruder, victim: Journey
) -> None:
    key = str(uuid.uuid4())
    intruder.request_csrs(genuine(system, victim.id), key=key)
    assert wait_until_held(system, "issuance", key) == [(Topic.APPLICATION, "undecodable")]
    assert held(system, "issuance", victim.id) == []


def test_changed_document_or_receipt_changes_no_order(
    system: Target, intruder: Intruder, sacrifice: Journey, victim: Journey
) -> None:
    before = opened(system, sacrifice.id)
    data = genuine(system, sacrifice.id)
    [name] = sacrifice.orders[0].server_names
    content = json.loads(data["document"])
    receipts = genuine(system, victim.id)["receipt"]
    forged = [
        data | {"document": data["document"].replace(name, "www.gov.hk")},
        data | {"document": data["document"].replace('"amount_minor":250000', '"amount_minor":1')},
        data | {"document": json.dumps(content)},
        data | {"document": data["document"] + " "},
        data | {"receipt": receipts},
    ]
    for sequence, each in enumerate(forged, start=3):
        intruder.request_csrs(each, key=sacrifice.id, sequence=sequence)
    reasons = [reason for _, reason in wait_until_held(system, "issuance", sacrifice.id, len(forged))]
    assert reasons == ["proof-refused", *["gap"] * (len(forged) - 1)], "the first is refused, the rest wait behind it"
    assert opened(system, sacrifice.id) == before
    assert rows(system, "issuance", "SELECT 1 FROM orders WHERE 'www.gov.hk' = ANY(server_names)") == []


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        (IssuanceWithheld.TYPE, {}),
        (
            PaymentCaptured.TYPE,
            {"payment_id": str(uuid.uuid4()), "amount_minor": 1, "currency": "HKD", "receipt": "x"}
            | {"captured_at": "2026-11-23T04:00:00Z"},
        ),
    ],
)
def test_mailing_cannot_write_topics_of_issuance_or_payment(
    system: Target, sacrifice: Journey, event_type: str, data: dict[str, Any]
) -> None:
    key = str(uuid.uuid4())
    mailing = Intruder(system=system, principal="mailing")
    for renewal_id in (key, sacrifice.id):
        said = data | {"renewal_id": renewal_id}
        [(last,)] = rows(
            system,
            "application",
            "SELECT COALESCE(max(last_sequence), 0) FROM inbox WHERE topic = %s AND key = %s",
            Topic.MAILING,
            renewal_id,
        )
        waiting = len(held(system, "application", renewal_id))
        mailing.announce(event_type, Topic.MAILING, said, key=renewal_id, sequence=last + waiting + 1)
        found = wait_until_held(system, "application", renewal_id, waiting + 1)
        assert found[0] == (Topic.MAILING, "wrong-topic")
    assert sacrifice.ar.renewal(sacrifice.id)["state"] == "awaiting-csrs"
    assert sacrifice.ar.renewal(sacrifice.id)["refunds"] == []


Junk = tuple[bytes | None, bytes | None, list[tuple[str, bytes]], dict[str, Any]]


def event(
    value: bytes | None, *, sequence: int = 1, more: list[tuple[str, bytes]] | None = None, **settings: Any
) -> Junk:
    """Return an event of a renewal of its own, but for what is asked for."""
    key = str(uuid.uuid4())
    return key.encode(), value, [*(more or []), *attributes(CSRRequested.TYPE, key, sequence)], settings


def junk() -> list[Junk]:
    """Return what may be written into a topic and is no event: key, value, headers, producer settings."""
    huge = secrets.token_hex(4_000)
    return [
        (None, b"", [], {}),
        (b"\xff\x00", b"\x00" * 100, [("ce_sequence", b"\xff")], {}),
        (huge.encode(), b"{}", attributes(CSRRequested.TYPE, huge, 1), {}),
        (secrets.token_bytes(8_000), b"{}", attributes(CSRRequested.TYPE, "x", 1), {}),
        event(None),
        event(b"{}", more=[(StrangeName("x"), b"1")]),
        event(b"{}", more=[("ce_sequence", b"2")]),
        event(b"{}", more=[("x", b"y")] * 1_000),
        event(b"{}", sequence=2**70),
        event(b"{}", sequence=2**62),
        event(b"[" * 200_000),
        event(b'{"renewal_id": "\\u0000"}'),
        event(b"x" * 990_000),
        event(b" " * 5_000, compression_type="snappy"),
    ]


def test_junk_does_not_stop_a_consumer(system: Target, journey: Begin, spare: Iterator[str]) -> None:
    before = {service: _held_event(system, service) for service in ("issuance", "mailing")}
    sent = junk()
    with snappy():
        for key, value, headers, more in sent:
            Intruder(system=system, principal="application", more=more).send(Topic.APPLICATION, key, value, headers)
    for service, count in before.items():
        wait_for(f"{service} to set it aside", partial(_has_held, system, service, count + len(sent)), every=0.1)
    # Payment, which handles no such event, reads no data of it; but it read every record, or nobody could pay now.
    after = journey(next(spare))
    after.apply()
    after.receive()
    assert after.ar.orders(after.id)
    for service in ("issuance", "mailing", "payment"):
        log = (system.installation.logs / f"{service}-consume.log").read_text(errors="replace")
        assert "CorruptRecord" not in log
        assert "UnsupportedCodec" not in log
        assert "ProgramLimitExceeded" not in log


def _has_held(system: Target, service: str, count: int) -> bool | None:
    return _held_event(system, service) >= count or None


def _held_event(system: Target, service: str) -> int:
    [(count,)] = rows(system, service, "SELECT count(*) FROM parked_events")
    return int(count)


@pytest.mark.parametrize(
    ("principal", "topic"),
    [
        ("payment", Topic.APPLICATION),
        ("application", Topic.ISSUANCE),
        ("mailing", Topic.PIN_ENVELOPES),
        ("application", Topic.PAYMENT),
        ("issuance", Topic.MAILING),
        ("application", Topic.IDENTITY),
    ],
)
def test_service_cannot_write_another_services_topic(system: Target, principal: str, topic: Topic) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        Intruder(system=system, principal=principal).send(topic, b"k", b"{}", [])


@pytest.mark.parametrize("principal", ["application", "payment", "identity", "issuance"])
def test_only_mailing_can_read_sealed_pins(system: Target, victim: Journey, principal: str) -> None:
    assert "pin-envelope-sealed" in events(system, victim.id)[Topic.PIN_ENVELOPES]
    settings = Intruder(system=system, principal=principal).settings()
    with contextlib.closing(KafkaConsumer(**settings, group_id=None)) as consumer:
        if principal != "issuance":  # which writes it
            assert Topic.PIN_ENVELOPES not in consumer.topics()
            return
        consumer.assign([TopicPartition(Topic.PIN_ENVELOPES, 0)])
        consumer.seek_to_beginning()
        with pytest.raises(TopicAuthorizationFailedError):
            wait_for("a refusal", lambda: consumer.poll(timeout_ms=200) or None, seconds=10)


@pytest.mark.parametrize(("principal", "group"), [("application", "issuance"), ("payment", "mailing")])
def test_service_cannot_join_another_services_group(system: Target, principal: str, group: str) -> None:
    settings = Intruder(system=system, principal=principal).settings()
    with (
        contextlib.closing(KafkaConsumer(**settings, group_id=group)) as consumer,
        pytest.raises(GroupAuthorizationFailedError),
    ):
        consumer.committed(TopicPartition(Topic.APPLICATION, 0), timeout_ms=5000)


def test_attacked_renewal_completes_normally(system: Target, victim: Journey) -> None:
    victim.fulfil()
    victim.accept()
    assert set(victim.verify(system.root).values()) == {"OK"}
    assert events(system, victim.id)["issuance.events"] == [
        *("order-opened", "csr-received", "certificate-issued", "certificate-accepted"),
    ]
    for service in ("application", "issuance", "mailing", "payment"):
        assert held(system, service, victim.id) == []

"""Who may read and write which topic, as deployed, is what the code does: no right too few, none too many."""

from collections.abc import Iterable, Mapping

import pytest

from deploy.local.topics import ACCESS
from services.application import handlers as application
from services.issuance import handlers as issuance
from services.mailing import handlers as mailing
from services.payment import handlers as payment
from shared.events.base import Topic
from shared.events.registry import ALL
from shared.proofs import ProofKeys
from shared.subscriptions import Subscription, topics
from shared.tokens import KeySet

NO_KEYS = KeySet(keys={})
PROOFS = ProofKeys(identity=NO_KEYS, payment=NO_KEYS)
SUBSCRIPTIONS: Mapping[str, Iterable[Subscription]] = {
    "identity": (),
    "application": application.SUBSCRIPTIONS,
    "payment": payment.subscriptions(),
    "mailing": mailing.subscriptions(keys=PROOFS, post=mailing.Post(domain="example.hk", portal="https://example.hk")),
    "issuance": issuance.subscriptions(PROOFS),
}


def test_every_service_is_listed() -> None:
    assert {*ACCESS} == {*SUBSCRIPTIONS}


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_a_service_may_read_exactly_what_it_subscribes_to(service: str) -> None:
    assert {*ACCESS[service].reads} == {*topics(SUBSCRIPTIONS[service])}


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_a_service_may_write_exactly_the_topics_of_its_own_events(service: str) -> None:
    own = {event.TOPIC for event in ALL.values() if event.__module__ == f"shared.events.{service}"}
    assert {*ACCESS[service].writes} == own


@pytest.mark.parametrize("topic", list(Topic))
def test_a_topic_has_one_writer(topic: Topic) -> None:
    assert len([service for service, access in ACCESS.items() if topic in access.writes]) == 1


def test_every_event_that_somebody_announces_is_known_to_whom_it_concerns() -> None:
    """Sealed PINs are for mailing alone; only audits read identity's topic."""
    assert [service for service, access in ACCESS.items() if Topic.PIN_ENVELOPES in access.reads] == ["mailing"]
    assert [service for service, access in ACCESS.items() if Topic.IDENTITY in access.reads] == []

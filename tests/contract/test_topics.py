"""Rights on topics, as deployed: exactly those that the code needs."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from backoffice.desk import projection as desk
from deploy.gateway.rules import PUBLIC_SERVICES
from deploy.kafka.topics import ACCESS
from services.application import handlers as application
from services.issuance import handlers as issuance
from services.mailing import handlers as mailing
from services.mailing.mail_queue import Post
from services.payment import handlers as payment
from shared.events.base import Topic
from shared.events.registry import ALL
from shared.messaging.subscriptions import Subscription, topics
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet

NO_KEYS = KeySet(keys={})
PROOFS = ProofKeys(identity=NO_KEYS, application=NO_KEYS, payment=NO_KEYS)
SUBSCRIPTIONS: Mapping[str, Iterable[Subscription]] = {
    "identity": (),
    "application": application.subscriptions(),
    "payment": payment.subscriptions(),
    "mailing": mailing.subscriptions(keys=PROOFS, post=Post(domain="example.hk", portal="https://example.hk")),
    "issuance": issuance.subscriptions(keys=PROOFS),
    "desk": desk.subscriptions(desk.Keys(proofs=PROOFS, feed=lambda: NO_KEYS)),
}


def test_every_service_is_listed() -> None:
    assert {*ACCESS} == {*SUBSCRIPTIONS}


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_service_may_read_exactly_what_it_subscribes_to(service: str) -> None:
    assert {*ACCESS[service].reads} == {*topics(SUBSCRIPTIONS[service])}


@pytest.mark.parametrize("service", SUBSCRIPTIONS)
def test_service_may_write_exactly_the_topics_of_its_own_events(service: str) -> None:
    own = {event.TOPIC for event in ALL.values() if event.__module__ == f"shared.events.{service}"}
    assert {*ACCESS[service].writes} == own


@pytest.mark.parametrize("topic", list(Topic))
def test_topic_has_one_writer(topic: Topic) -> None:
    assert len([service for service, access in ACCESS.items() if topic in access.writes]) == 1


def test_restricted_topics_are_read_by_their_subscribers_only() -> None:
    """Sealed PINs are for mailing alone, what was signed for the desk, copies of the evidence for nobody."""
    assert [service for service, access in ACCESS.items() if Topic.EVIDENCE in access.reads] == []
    assert [service for service, access in ACCESS.items() if Topic.PIN_ENVELOPES in access.reads] == ["mailing"]
    assert [service for service, access in ACCESS.items() if Topic.IDENTITY in access.reads] == ["desk"]
    assert [service for service, access in ACCESS.items() if Topic.REGISTER in access.reads] == [
        "application",
        "mailing",
    ]


def test_diagram_in_the_readme_shows_topics_and_routes() -> None:
    picture = (Path(__file__).parents[2] / "README.md").read_text("utf-8").split("```mermaid")[1].split("```")[0]
    topic_arrow = re.compile(r'^ *(\w+) -- "?([a-z-]+\.[a-z-]+)[^"\n]*?"? --> (.*)$', re.MULTILINE)
    drawn = {
        topic: (writer, {*re.findall(r"\w+", readers)} & {*ACCESS})
        for writer, topic, readers in topic_arrow.findall(picture)
    }
    assert drawn == {
        topic.value: (
            next(service for service, access in ACCESS.items() if topic in access.writes),
            {service for service, subscriptions in SUBSCRIPTIONS.items() if topic in topics(subscriptions)},
        )
        for topic in Topic
    }
    assert f"  G --> {' & '.join(PUBLIC_SERVICES)}\n" in picture

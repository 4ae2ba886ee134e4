"""E-mails about a subscriber's persons: to every AR in office, once, in their language, without a renewal."""

from dataclasses import replace

import pytest

from services.mailing import posting
from services.mailing.bounces import Failure
from shared.events.identity import ECertRolledOver, Recipient
from shared.tx import transaction
from shared.vocabulary import ARId, Language, SubscriberId
from tests.integration.services.mailing.world import START, World, text_of

ROLLED_OVER = ECertRolledOver(
    subscriber_id=SubscriberId("s-1"),
    subscriber_name="Example Limited 例子有限公司",
    ar_id=ARId("ar-1"),
    ar_name="CHAN Tai Man",
    certificate_sha256="c1" * 32,
    serial="5a0c77e1",
    recipients=(
        Recipient(name="CHAN Tai Man", email="chan@example.hk"),
        Recipient(name="WONG Ka Ho", email="wong@example.hk"),
    ),
    registered_at=START,
)


def test_every_ar_gets_one_mail_about_a_new_e_cert(world: World) -> None:
    world.apply(ROLLED_OVER, ROLLED_OVER)
    sent = world.send_all()
    assert sorted(each["To"].addresses[0].addr_spec for each in sent) == ["chan@example.hk", "wong@example.hk"]
    for words in ("CHAN Tai Man signed in", "5A0C77E1", "call us at once", "never ask for a PIN"):
        assert words in text_of(sent[0])
    assert "http" not in text_of(sent[0])
    world.apply(replace(ROLLED_OVER, certificate_sha256="c2" * 32, serial="77"))
    assert len(world.send_all()) == 2


@pytest.mark.parametrize(
    ("language", "words"), [(Language.TRADITIONAL_CHINESE, "電子證書"), (Language.SIMPLIFIED_CHINESE, "电子证书")]
)
def test_language_is_that_of_the_newest_mail_about_a_renewal(world: World, language: Language, words: str) -> None:
    world.apply(world.renewal(language).csr_requested())
    world.send_all()
    world.apply(ROLLED_OVER)
    subjects = {each["To"].addresses[0].addr_spec: each["Subject"] for each in world.send_all()}
    assert words in subjects["chan@example.hk"]
    assert "A new e-Cert" in subjects["wong@example.hk"]


def test_name_from_outside_adds_no_header_and_an_address_none_can_reach_holds_the_event(world: World) -> None:
    world.apply(replace(ROLLED_OVER, subscriber_name="Example\r\nBcc: x@example.org"))
    assert all(each["Bcc"] is None for each in world.send_all())
    other = replace(ROLLED_OVER, certificate_sha256="c3" * 32, recipients=(Recipient(name="X", email="nobody"),))
    world.apply(other)
    assert world.held(other.subject) == ["not-an-e-mail-address"]


def test_bounce_is_recorded_without_an_event_and_can_be_sent_again(world: World) -> None:
    world.apply(ROLLED_OVER)
    message = world.send_all()[0]
    with transaction(world.pool, clock=world.clock) as tx:
        assert posting.record_bounced(tx, Failure(message_id=message["Message-ID"], reply_code=550), actor="test")
    ((mail_id, subscriber),) = world.rows("SELECT id, subscriber_id FROM mails WHERE state = 'bounced'")
    assert subscriber == "s-1"
    assert world.rows("SELECT * FROM outbox") == []
    with transaction(world.pool, clock=world.clock) as tx:
        posting.resend(tx, mail_id, actor="test")
    assert len(world.send_all()) == 1

"""Certificates that wait: one e-mail for each change, of what is missing until when, and none that is of no use."""

import pytest

from services.mailing.domain import Template, message_id
from shared.vocabulary import Language
from tests.integration.services.mailing.world import Renewal, World, text_of

MISSING = ("a.example.hk", "validation", "record-missing")
FORBIDDEN = ("b.example.hk", "caa", "caa-other-issuer")


@pytest.fixture
def asked(world: World) -> Renewal:
    """A paid renewal whose AR was asked for CSRs."""
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.send_all()
    return renewal


def sent(world: World) -> list[str]:
    """Let the time pass for which such an e-mail waits; return the text of each one sent."""
    world.pass_time(minutes=5)
    return [text_of(message) for message in world.send_all()]


def test_delay_is_mailed_with_names_reasons_deadline_and_address(world: World, asked: Renewal) -> None:
    world.apply(asked.delayed(MISSING, FORBIDDEN))
    world.pass_time(minutes=5)
    (message,) = world.send_all()
    assert message["Subject"] == "A certificate of your renewal waits for you (R26-0001)"
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    text = text_of(message)
    for words in (
        "R26-0001-2",
        "a.example.hk We found neither the DNS record nor the file that proves control of it.",
        "b.example.hk A CAA record of its domain allows other certification authorities only.",
        "The renewal waits until 21 February 2027.",
        f"https://portal.ecert.localhost/en/renewals/{asked.id}",
    ):
        assert words in text
    assert "R26-0001-1" not in text


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (Language.TRADITIONAL_CHINESE, "我們找不到證明你控制該名稱的DNS記錄或檔案。"),
        (Language.SIMPLIFIED_CHINESE, "我们未找到证明您控制该名称的DNS记录或文件。"),
    ],
)
def test_delay_is_mailed_in_the_language_of_the_document(world: World, language: Language, words: str) -> None:
    renewal = world.renewal(language)
    world.apply(renewal.csr_requested(), renewal.delayed(MISSING))
    assert words in sent(world)[-1]


def test_each_change_is_mailed_once_and_under_an_id_of_its_own(world: World, asked: Renewal) -> None:
    for obstacles in ([MISSING], [MISSING, FORBIDDEN]):
        world.apply(asked.delayed(*obstacles), asked.delayed(*obstacles))
        assert len(sent(world)) == 1
    rows = world.rows("SELECT message_id, item_id, occasion FROM mails WHERE item_id IS NOT NULL ORDER BY queued_at")
    assert len({occasion for _, _, occasion in rows}) == 2
    template, address, domain = Template.CERTIFICATE_DELAYED, "chan@example.hk", "ecert.localhost"
    assert [row[0] for row in rows] == [message_id(asked.id, template, address, domain, *row[1:]) for row in rows]


def test_later_delay_replaces_the_earlier_mail_of_the_same_item_only(world: World, asked: Renewal) -> None:
    world.apply(asked.delayed(("www.example.hk", "caa", "dns-bogus"), item=0), asked.delayed(MISSING))
    world.pass_time(minutes=4)
    world.apply(asked.delayed(FORBIDDEN))
    first, second = sent(world)
    assert "www.example.hk Its DNS records cannot be read" in first
    assert "b.example.hk" in second
    assert world.rows("SELECT count(*) FROM mails WHERE state = 'dropped'") == [(1,)]


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_mail_of_a_delay_is_dropped_at_the_end_of_the_renewal(world: World, asked: Renewal, end: str) -> None:
    world.apply(asked.delayed(MISSING), getattr(asked, end)())
    assert len(sent(world)) == 1
    assert dict(world.rows("SELECT template, state FROM mails"))["certificate-delayed"] == "dropped"


def test_delay_of_a_cancelled_renewal_is_not_mailed(world: World, asked: Renewal) -> None:
    world.apply(asked.cancelled(), asked.delayed(MISSING))
    assert len(sent(world)) == 1
    assert world.held() == []


def test_delay_without_a_csr_request_is_held(world: World) -> None:
    world.apply(world.renewal().delayed(MISSING))
    assert world.held() == ["contact-unknown"]


@pytest.mark.parametrize("name", ["www.example.hk", "Please pay at evil.example", "a.example.hk\nBcc: x@example.hk"])
def test_delay_of_a_name_that_is_not_the_items_is_held_and_mails_nothing(
    world: World, asked: Renewal, name: str
) -> None:
    world.apply(asked.delayed(MISSING, (name, "validation", "record-missing")))
    assert world.held() == ["server-name-unknown"]
    assert sent(world) == []

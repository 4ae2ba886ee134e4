"""Reminders of the end of a paid period: mailed once each, in the AR's language, with facts of the attested renewal."""

from datetime import date
from typing import Any

import pytest

from shared.vocabulary import Language
from tests.integration.services.mailing.world import Renewal, World, text_of


@pytest.fixture
def ended(world: World) -> Renewal:
    """A renewal that was completed, and its e-mails sent."""
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.completed())
    world.send_all()
    return renewal


def test_reminder_names_numbers_days_and_what_to_do_and_has_no_link(world: World, ended: Renewal) -> None:
    world.apply(ended.reminded())
    (message,) = world.send_all()
    assert message["Subject"] == "Renew in time: paid until 23 December 2026 (SRN 0002310001)"
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    text = text_of(message)
    for words in (
        "until 23 December 2026. Days left: 30.",
        "a.example.hk b.example.hk",
        "SRN: 0002310001.",
        "5d45e3a9",
        "Start by 25 November 2026 to be safe",
        "never ask for a PIN",
    ):
        assert words in text
    assert str(ended.id) not in message.as_string()


@pytest.mark.parametrize(
    ("language", "words"),
    [(Language.TRADITIONAL_CHINESE, "請及時為證書續期"), (Language.SIMPLIFIED_CHINESE, "请及时为证书续期")],
)
def test_reminder_is_mailed_in_the_language_of_the_document(world: World, language: Language, words: str) -> None:
    renewal = world.renewal(language)
    world.apply(renewal.csr_requested(), renewal.completed())
    world.send_all()
    world.apply(renewal.reminded())
    assert words in world.send_all()[0]["Subject"]


def test_reminder_after_the_latest_safe_start_says_to_start_at_once(world: World, ended: Renewal) -> None:
    world.apply(ended.reminded(latest_safe_start=date(2026, 11, 1)))
    text = text_of(world.send_all()[0])
    assert "Please start at once." in text
    assert "to be safe" not in text


def test_reminder_of_the_certificate_names_its_end_and_that_another_costs_nothing(world: World, ended: Renewal) -> None:
    world.apply(ended.reissue_reminded(), ended.reissue_reminded(), ended.reissue_reminded(7))
    messages = world.send_all()
    assert {message["Subject"] for message in messages} == {
        "Replace in time: certificate ends on 7 December 2026 (SRN 0002310001)"
    }
    text = text_of(messages[-1])
    for words in ("Days left: 14.", "You have paid until 30 June 2027: another certificate costs nothing", "5d45e3a9"):
        assert words in text
    assert world.rows("SELECT count(*) FROM mails WHERE template = 'reissue-reminder'")[0][0] <= 2


def test_reminder_of_the_certificate_with_a_text_for_a_number_is_held(world: World, ended: Renewal) -> None:
    world.apply(ended.reissue_reminded(serial="visit http://evil.example"))
    assert world.send_all() == []
    assert world.held() != []


def test_each_reminder_is_mailed_once(world: World, ended: Renewal) -> None:
    for days in (30, 30, 14, 30):
        world.apply(ended.reminded(days))
        world.send_all()
    assert world.rows("SELECT count(*) FROM mails WHERE template = 'renewal-reminder' AND state = 'sent'") == [(2,)]


def test_later_reminder_replaces_one_that_is_not_sent_yet(world: World, ended: Renewal) -> None:
    world.apply(ended.reminded(30), ended.reminded(14))
    assert len(world.send_all()) == 1


@pytest.mark.parametrize("change", [{"srn": "call 1234 5678 now"}, {"serial": "https://evil.example"}])
def test_reminder_with_a_text_for_a_number_is_held_and_mails_nothing(
    world: World, ended: Renewal, change: dict[str, Any]
) -> None:
    world.apply(ended.reminded(**change))
    assert world.held() == ["number-unusable"]
    assert world.send_all() == []


def test_reminder_of_a_renewal_without_contact_is_held(world: World) -> None:
    world.apply(world.renewal().reminded())
    assert world.held() == ["contact-unknown"]

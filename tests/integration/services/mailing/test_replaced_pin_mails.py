"""E-mails about PINs that were replaced: to the attested AR, with all names of one order, and never a secret."""

import uuid
from dataclasses import replace

import pytest

from shared.events.issuance import PINEnvelopeSealed
from shared.vocabulary import ItemId, Language
from tests.integration.services.mailing.test_replaced_letters import NEW_PIN, replacement
from tests.integration.services.mailing.world import Renewal, World, text_of

NAMES = ("a.example.hk", "b.example.hk", "www.example.hk")


@pytest.fixture
def asked(world: World) -> Renewal:
    """A paid renewal whose AR was asked for CSRs, with its three letters."""
    return opened(world)


def opened(world: World, language: Language = Language.ENGLISH) -> Renewal:
    renewal = world.renewal(language)
    world.apply(renewal.csr_requested(), *(renewal.sealed(name) for name in NAMES))
    world.send_all()
    return renewal


def another(renewal: Renewal, name: str) -> PINEnvelopeSealed:
    return replacement(renewal.letter(name))


def test_replaced_pins_of_one_item_are_mailed_together_and_without_a_secret(world: World, asked: Renewal) -> None:
    world.apply(another(asked, "b.example.hk"), another(asked, "a.example.hk"), another(asked, "www.example.hk"))
    assert not world.send()  # all of one order first
    several, single = sorted(map(text_of, world.send_all()), key=len, reverse=True)
    for words in ("R26-0001-2", "a.example.hk", "b.example.hk", "no longer work", "call us at once"):
        assert words in several
    assert "www.example.hk" in single
    assert "a.example.hk" not in single
    assert NEW_PIN not in several + single


def test_same_replacement_is_mailed_once_and_a_later_one_again_alone(world: World, asked: Renewal) -> None:
    first = another(asked, "a.example.hk")
    world.apply(first, first)
    assert len(world.send_all()) == 1
    world.pass_time(hours=2)
    world.apply(another(asked, "b.example.hk"))
    [message] = world.send_all()
    assert "b.example.hk" in text_of(message)
    assert "a.example.hk" not in text_of(message)


def test_first_letters_are_not_mailed_about(world: World, asked: Renewal) -> None:
    assert world.send_all() == []


def test_replacement_of_an_item_that_was_never_attested_is_held(world: World, asked: Renewal) -> None:
    world.apply(replace(another(asked, "a.example.hk"), item_id=ItemId(uuid.uuid4())))
    assert len(world.held()) == 1


def test_mail_about_a_replaced_pin_is_dropped_at_the_end_of_the_renewal(world: World, asked: Renewal) -> None:
    world.apply(another(asked, "a.example.hk"))
    world.apply(asked.cancelled())
    assert [message["Subject"] for message in world.send_all()] == ["Your e-Cert (Server) renewal has ended (R26-0001)"]
    assert dict(world.rows("SELECT template, state FROM mails"))["pin-replaced"] == "dropped"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (Language.TRADITIONAL_CHINESE, "先前密碼信封內的密碼已失效。"),
        (Language.SIMPLIFIED_CHINESE, "先前密码信封内的密码已失效。"),
    ],
)
def test_replaced_pin_is_mailed_in_the_language_of_the_document(world: World, language: Language, words: str) -> None:
    renewal = opened(world, language)
    world.apply(another(renewal, "a.example.hk"))
    [message] = world.send_all()
    assert words in text_of(message)

"""Revoked certificates: one e-mail for each certificate and reason, by whom, in the AR's language."""

import pytest

from shared.vocabulary import Language
from tests.integration.services.mailing.world import Renewal, World, text_of


def completed(world: World, language: Language = Language.ENGLISH) -> Renewal:
    """Return a renewal whose AR has got the certificates."""
    renewal = world.renewal(language)
    world.apply(renewal.csr_requested(), renewal.completed())
    world.send_all()
    return renewal


@pytest.mark.parametrize(
    ("revoked_by", "words"),
    [
        ("representative", "An Authorised Representative of Example Limited 例子有限公司 revoked this certificate"),
        ("ca", "We, the Certification Authority, revoked this certificate"),
        (None, "We, the Certification Authority, revoked this certificate"),
    ],
)
def test_revocation_is_mailed_to_the_ar_with_party_serial_and_reason(
    world: World, revoked_by: str | None, words: str
) -> None:
    renewal = completed(world)
    world.apply(renewal.revoked("keyCompromise", revoked_by=revoked_by))
    (message,) = world.send_all()
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    text = text_of(message)
    for each in (words, "R26-0001-1", "0a1b2c", "23 December 2026 at 09:30", "The key is blocked for good"):
        assert each in text
    assert "R26-0001-2" not in text


@pytest.mark.parametrize(
    ("language", "words"),
    [(Language.TRADITIONAL_CHINESE, "已由另一張證書取代"), (Language.SIMPLIFIED_CHINESE, "已由另一张证书取代")],
)
def test_revocation_is_mailed_in_the_language_of_the_document(world: World, language: Language, words: str) -> None:
    renewal = completed(world, language)
    world.apply(renewal.revoked())
    (message,) = world.send_all()
    assert words in text_of(message)


def test_same_revocation_is_mailed_once_and_a_graver_reason_once_more(world: World) -> None:
    renewal = completed(world)
    world.apply(renewal.revoked(), renewal.revoked())
    assert len(world.send_all()) == 1
    world.apply(renewal.revoked("keyCompromise"), renewal.revoked("keyCompromise"))
    assert len(world.send_all()) == 1


def test_revocation_of_a_certificate_that_nobody_got_is_not_mailed(world: World) -> None:
    renewal = completed(world)
    world.apply(renewal.revoked(certificate="-----BEGIN CERTIFICATE-----"))
    assert world.send_all() == []
    assert world.held() == []


def test_revocation_without_a_csr_request_is_held(world: World) -> None:
    world.apply(world.renewal().revoked())
    assert world.held() == ["contact-unknown"]


def test_revocation_with_a_text_for_a_serial_number_is_held_and_mails_nothing(world: World) -> None:
    renewal = completed(world)
    world.apply(renewal.revoked(serial="pay at evil.example"))
    assert world.held() == ["number-unusable"]
    assert world.send_all() == []

"""Every end of a renewal has its mail: one, to the AR whom identity attested, with what goes back of the fee."""

from itertools import permutations

import pytest

from services.mailing.domain import Template, message_id
from shared.events.base import Event
from shared.vocabulary import Language
from tests.integration.services.mailing.mail_server import LOSE_CONNECTION
from tests.integration.services.mailing.world import Renewal, World, text_of


def subjects(world: World) -> list[str]:
    return [str(message["Subject"]) for message in world.send_all()]


@pytest.fixture
def asked(world: World) -> Renewal:
    """A paid renewal whose AR was asked for CSRs."""
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.send_all()
    return renewal


def test_completed_renewal_is_mailed_once_to_the_same_contact(world: World, asked: Renewal) -> None:
    world.apply(asked.completed(), asked.completed())
    (message,) = world.send_all()
    assert message["Subject"] == "Your renewed e-Cert (Server) certificates are ready (R26-0001)"
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    assert world.announced_types(asked.id) == ["csr-request-sent"]


def test_completion_without_a_csr_request_is_held(world: World) -> None:
    world.apply(world.renewal().completed())
    assert world.held() == ["contact-unknown"]


def test_refused_item_is_mailed_with_cause_and_refund_while_the_others_continue(world: World, asked: Renewal) -> None:
    due = asked.refund_due(1, "subscription-over")
    world.apply(due)
    world.apply(due)
    (message,) = world.send_all()
    text = text_of(message)
    assert "R26-0001-2" in text
    assert "R26-0001-1" not in text
    assert "The subscription would have ended before the certificate could begin. Refund: HK$2,500.00" in text
    world.apply(asked.completed())
    (message,) = world.send_all()
    assert "We are refunding HK$2,500.00" in text_of(message)


def test_two_refused_items_make_two_mails_with_different_message_ids(world: World, asked: Renewal) -> None:
    for item in (0, 1):
        world.apply(asked.refund_due(item, "lint"))
        world.send_all()
    refused = world.rows("SELECT message_id, item_id FROM mails WHERE template = 'item-refused' ORDER BY queued_at")
    template, address, domain = Template.ITEM_REFUSED, "chan@example.hk", "ecert.localhost"
    assert refused == [(message_id(asked.id, template, address, domain, item), item) for item in asked.items]


@pytest.mark.parametrize("end", ["completed", "refused"])
def test_last_refused_item_is_covered_by_the_final_mail(world: World, asked: Renewal, end: str) -> None:
    world.apply(asked.refund_due(0, "lint"))
    assert not world.send(), "the end may follow at once"
    if end == "completed":
        world.apply(asked.completed())
    else:
        world.apply(asked.refund_due(1, "lint"), asked.cancelled("refused"))
    (message,) = world.send_all()
    assert (
        message["Subject"]
        == {
            "completed": "Your renewed e-Cert (Server) certificates are ready (R26-0001)",
            "refused": "Your e-Cert (Server) renewal has ended (R26-0001)",
        }[end]
    )
    amount = {"completed": "HK$2,500.00", "refused": "HK$5,000.00"}[end]
    assert f"We are refunding {amount}" in text_of(message)


def test_cancelled_renewal_sends_only_the_final_mail_and_prints_no_envelope(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.sealed("www.example.hk"))
    world.apply(renewal.refund_due(), renewal.cancelled())
    world.apply(renewal.sealed("a.example.hk"))
    (message,) = world.send_all()
    assert message["Subject"] == "Your e-Cert (Server) renewal has ended (R26-0001)"
    text = text_of(message)
    assert "It was cancelled on our web site." in text
    assert "ended on 23 November 2026" in text
    assert "We are refunding HK$5,000.00" in text
    assert "PIN Envelopes of this renewal are of no use" in text
    assert world.print_all() == 0
    assert world.mail_states() == [("csr-request", "dropped"), ("renewal-cancelled", "sent")]
    assert world.envelope_states() == ["dropped", "dropped"]
    assert world.rows("SELECT count(*) FROM pin_envelopes WHERE sealed IS NOT NULL") == [(0,)]
    assert world.rows("SELECT details FROM audit_log WHERE action = 'unsent-dropped'") == [
        ({"mails": 1, "envelopes": 1},)
    ]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("not-paid", "It was not paid in time."),
        ("no-csr", "No Certificate Signing Request (CSR) came in time"),
        ("not-issued", "Its certificates could not be issued in time."),
        ("not-released", "another Authorised Representative is on record"),
        ("withheld", "Its certificates will not be issued."),
        ("of tomorrow", "Its certificates will not be issued."),
    ],
)
def test_every_reason_has_a_text(world: World, reason: str, words: str) -> None:
    world.apply(world.renewal().cancelled(reason))
    (message,) = world.send_all()
    assert words in text_of(message)


@pytest.mark.parametrize("language", list(Language))
def test_unpaid_renewal_ends_with_a_mail_to_its_signer_without_a_refund(world: World, language: Language) -> None:
    renewal = world.renewal(language)
    world.apply(renewal.cancelled("not-paid"))
    (message,) = world.send_all()
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    text = text_of(message)
    assert {
        Language.ENGLISH: "There is nothing to pay.",
        Language.TRADITIONAL_CHINESE: "你毋須付款。",
        Language.SIMPLIFIED_CHINESE: "您无需付款。",
    }[language] in text
    assert "HK$" not in text
    assert world.announced_types(renewal.id) == []


def test_refund_of_a_late_payment_has_its_own_mail(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.cancelled("not-paid"))
    world.send_all()
    world.apply(renewal.refund_due())
    (message,) = world.send_all()
    assert message["Subject"] == "We are refunding your payment (R26-0001)"
    assert "HK$5,000.00" in text_of(message)


def test_cancellation_without_a_signer_sends_no_mail(world: World) -> None:
    """Earlier code announced it so."""
    renewal = world.renewal()
    world.apply(renewal.cancelled(document=None, attestation=None), renewal.refund_due())
    assert world.held() == []
    assert world.send_all() == []


def test_final_mail_of_a_paid_renewal_needs_no_second_attestation(world: World, asked: Renewal) -> None:
    world.apply(asked.cancelled(document=None, attestation=None))
    assert subjects(world) == ["Your e-Cert (Server) renewal has ended (R26-0001)"]


def test_forged_signer_of_a_cancelled_renewal_gets_no_mail(world: World) -> None:
    renewal, other = world.renewal(), world.renewal()
    renewal.identity_signer = "stranger"
    world.apply(renewal.cancelled())
    borrowed = world.renewal()
    world.apply(borrowed.cancelled(document=other.document(), attestation=other.attestation()))
    assert world.held() == ["token-refused", "proof-refused"]
    assert world.rows("SELECT count(*) FROM mails") == [(0,)]


@pytest.mark.parametrize("order", list(permutations(["refund", "end", "end again"])))
def test_final_mail_is_sent_once_in_any_order_of_repeated_events(world: World, order: list[str]) -> None:
    """application sends the refund first; code before this one sent it last."""
    renewal = world.renewal()
    events: dict[str, Event] = {
        "refund": renewal.refund_due(),
        "end": renewal.cancelled(),
        "end again": renewal.cancelled(),
    }
    for name in order:
        world.apply(events[name])
        world.server.data.extend(["451 Busy"] if name == "end" else [])
        while world.send():
            pass
    world.send_all()
    assert world.held() == []
    states = dict(world.rows("SELECT template, state FROM mails"))
    assert states.pop("renewal-cancelled") == "sent"
    assert states in ({}, {"payment-returned": "sent"})
    assert world.rows("SELECT count(*) FROM mails WHERE template = 'renewal-cancelled'") == [(1,)]


def test_unconfirmed_final_mail_is_resent_with_the_same_message_id(world: World, asked: Renewal) -> None:
    world.apply(asked.cancelled())
    world.server.data.append(LOSE_CONNECTION)
    first, second = world.send_all() + world.send_all()
    assert first["Message-ID"] == second["Message-ID"]
    assert world.send_all() == []

"""One e-mail per renewal, whatever happens on the way."""

import email
from email.message import EmailMessage
from email.policy import SMTP
from itertools import permutations

import pytest

from services.mailing import posting
from services.mailing.domain import PostingRefused
from tests.integration.mailing.mail_server import LOSE_CONNECTION
from tests.integration.mailing.world import World, new_key, types


def parse(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_the_ar_whom_identity_attested_gets_the_csr_request(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    assert world.send()
    assert not world.send()
    (message,) = map(parse, world.server.taken)
    assert message["Subject"] == "Submission of Certificate Signing Request (CSR)"
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    body = message.get_body(("plain",))
    assert body is not None
    for wanted in ("R26-0001-1", "www.example.hk", "R26-0001-2", "a.example.hk", "b.example.hk", str(renewal.id)):
        assert wanted in body.get_content()
    assert types(world.told(renewal)) == ["csr-request-sent"]


@pytest.mark.parametrize("order", list(permutations(["asked", "sealed", "asked again"])))
def test_one_mail_is_sent_in_whatever_order_and_however_often_the_two_topics_arrive(
    world: World, order: tuple[str, ...]
) -> None:
    renewal = world.renewal()
    asked, sealed = world.record(renewal.csr_requested()), world.record(renewal.sealed())
    records = {"asked": asked, "asked again": asked, "sealed": sealed}
    for name in order:
        world.deliver(records[name])
        world.deliver(sealed)
        while world.send():
            pass
    assert len(world.server.taken) == 1
    assert types(world.told(renewal)) == ["csr-request-sent"]
    assert world.envelope_states() == ["sealed"]
    assert world.held() == []


def test_a_second_request_for_the_same_renewal_sends_nothing_new(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.csr_requested())
    while world.send():
        pass
    assert len(world.server.taken) == 1


def test_a_451_puts_the_mail_off_and_then_it_goes(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.append("451 Busy")
    assert world.send()
    assert not world.send()
    world.pass_time(seconds=2)
    assert world.send()
    assert len(world.server.taken) == 1
    assert world.server.offered[0] == world.server.offered[1]
    assert types(world.told(renewal)) == ["csr-request-sent"]


def test_a_mail_put_off_for_five_days_bounces(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.pass_time(days=6)
    world.server.rcpt.append("450 Mailbox busy")
    assert world.send()
    assert types(world.told(renewal)) == ["mail-bounced"]


def test_a_550_bounces_and_is_not_tried_again(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.rcpt.append("550 No such mailbox")
    assert world.send()
    world.pass_time(days=1)
    assert not world.send()
    assert world.mail_states() == [("csr-request", "bounced")]
    assert types(world.told(renewal)) == ["mail-bounced"]


def test_a_connection_lost_after_the_dot_sends_the_same_bytes_once_more(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.append(LOSE_CONNECTION)
    assert world.send()
    assert types(world.told(renewal)) == []
    world.pass_time(seconds=2)
    assert world.send()
    assert len(world.server.taken) == 2
    assert world.server.taken[0] == world.server.taken[1]
    assert types(world.told(renewal)) == ["csr-request-sent"]


def test_after_a_second_loss_an_operator_decides(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.extend([LOSE_CONNECTION, LOSE_CONNECTION])
    for _ in range(4):
        world.send()
        world.pass_time(minutes=1)
    assert len(world.server.taken) == 2
    ((mail_id, state),) = world.query("SELECT id, state FROM mails")
    assert state == "unconfirmed"
    with world.tx() as tx:
        posting.resend(tx, mail_id, actor="operator")
    assert world.send()
    assert types(world.told(renewal)) == ["csr-request-sent"]
    with world.tx() as tx, pytest.raises(PostingRefused):
        posting.resend(tx, mail_id, actor="operator")


def test_a_sender_killed_in_the_middle_costs_one_repetition_at_most(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.query("UPDATE mails SET state = 'sending', tries = 1, due_at = due_at + interval '30 s' RETURNING id")
    assert not world.send()
    world.pass_time(seconds=31)
    assert world.send()
    assert len(world.server.taken) == 1
    assert types(world.told(renewal)) == ["csr-request-sent"]


def test_the_completed_mail_goes_to_the_same_contact(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.completed())
    while world.send():
        pass
    subjects = [parse(message)["Subject"] for message in world.server.taken]
    assert sorted(subjects) == [
        "Submission of Certificate Signing Request (CSR)",
        "Your renewed e-Cert (Server) certificates are ready (R26-0001)",
    ]
    assert types(world.told(renewal)) == ["csr-request-sent"]


def test_a_completion_nobody_was_asked_for_is_held(world: World) -> None:
    world.apply(world.renewal().completed())
    assert world.held() == ["contact-unknown"]


def test_a_cancelled_renewal_sends_no_mail_and_prints_no_envelope(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.sealed("www.example.hk"))
    world.apply(renewal.cancelled())
    world.apply(renewal.sealed("a.example.hk"))
    assert not world.send()
    assert world.print_all() == 0
    assert world.mail_states() == [("csr-request", "dropped")]
    assert world.envelope_states() == ["dropped", "dropped"]
    assert world.query("SELECT count(*) FROM pin_envelopes WHERE sealed IS NOT NULL") == [(0,)]
    assert world.query("SELECT details FROM audit_log WHERE action = 'unsent-dropped'") == [
        ({"mails": 1, "envelopes": 1},)
    ]


@pytest.mark.parametrize("whose", ["identity_key", "payment_key"])
def test_a_proof_by_an_intruder_is_held_and_nothing_is_sent(world: World, whose: str) -> None:
    renewal = world.renewal()
    setattr(renewal, whose, new_key())
    world.apply(renewal.csr_requested())
    assert world.held() == ["token-refused"]
    assert world.query("SELECT count(*) FROM mails") == [(0,)]


@pytest.mark.parametrize("receipt", ["", "no token at all", "attestation"])
def test_a_request_without_payments_receipt_is_held_and_nothing_is_sent(world: World, receipt: str) -> None:
    renewal = world.renewal()
    proof = renewal.attestation() if receipt == "attestation" else receipt
    world.apply(renewal.csr_requested(receipt=proof))
    assert world.held() == ["token-refused"]
    assert world.query("SELECT count(*) FROM mails") == [(0,)]


def test_proofs_of_another_document_renewal_or_fee_are_held(world: World) -> None:
    changed, borrowed, lent, unpaid, other = (world.renewal() for _ in range(5))
    world.apply(changed.csr_requested(document=changed.document(reference="R26-0002")))
    world.apply(borrowed.csr_requested(attestation=other.attestation()))
    world.apply(lent.csr_requested(receipt=other.receipt()))
    world.apply(unpaid.csr_requested(receipt=unpaid.receipt(amount_minor=1)))
    relabelled = world.renewal()
    world.apply(relabelled.csr_requested(attestation=relabelled.attestation(renewal_id=str(other.id))))
    assert world.held() == ["proof-refused"] * 5
    assert world.query("SELECT count(*) FROM mails") == [(0,)]


@pytest.mark.parametrize("address", ["chan@example.hk\r\nBcc: all@example.hk", "not an address", ""])
def test_an_address_that_is_none_is_held(world: World, address: str) -> None:
    renewal = world.renewal()
    renewal.ar["email"] = address
    world.apply(renewal.csr_requested())
    assert world.held() == ["not-an-e-mail-address"]


def test_a_name_with_line_breaks_adds_no_header(world: World) -> None:
    renewal = world.renewal()
    renewal.ar["name"] = "Eve\r\nBcc: all@example.hk\r\n\r\n<b>Hello</b>"
    world.apply(renewal.csr_requested())
    assert world.send()
    (message,) = map(parse, world.server.taken)
    assert message["Bcc"] is None
    assert message["To"].addresses[0].display_name == "Eve Bcc: all@example.hk <b>Hello</b>"

"""One e-mail per renewal, whatever happens on the way."""

import re
from dataclasses import replace
from email.header import decode_header, make_header
from itertools import permutations

import pytest

from services.mailing import posting
from services.mailing.refusals import PostingRefused
from shared.vocabulary import Language
from tests.integration.services.mailing.mail_server import LOSE_CONNECTION
from tests.integration.services.mailing.world import World, parse, text_of


def test_ar_whom_identity_attested_gets_the_csr_request(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    assert world.send()
    assert not world.send()
    (message,) = map(parse, world.server.taken)
    assert message["Subject"] == "Submission of Certificate Signing Request (CSR)"
    assert message["To"].addresses[0].addr_spec == "chan@example.hk"
    text = text_of(message)
    for wanted in ("R26-0001-1", "www.example.hk", "R26-0001-2", "a.example.hk", "b.example.hk", str(renewal.id)):
        assert wanted in text
    assert "is paid: HK$5,000.00 on 23 November 2026" in text
    assert world.announced_types(renewal.id) == ["csr-request-sent"]


def test_csr_request_of_a_reissue_says_that_nothing_is_to_be_paid_or_awaited(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.reissue_requested())
    while world.send():
        pass
    (message,) = map(parse, world.server.taken)
    text = text_of(message)
    assert "There is nothing to pay" in text
    assert "No PIN Envelope is sent" in text
    assert "HK$" not in text


def test_forged_entitlement_sends_no_mail(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.reissue_requested(signer="stranger"))
    assert not world.send()
    assert world.held() != []


@pytest.mark.parametrize("order", list(permutations(["asked", "sealed", "asked again"])))
def test_one_mail_is_sent_in_any_order_of_repeated_events(world: World, order: tuple[str, ...]) -> None:
    renewal = world.renewal()
    asked, sealed = world.record(renewal.csr_requested()), world.record(renewal.sealed())
    records = {"asked": asked, "asked again": asked, "sealed": sealed}
    for name in order:
        world.apply_records(records[name])
        world.apply_records(sealed)
        while world.send():
            pass
    assert len(world.server.taken) == 1
    assert world.announced_types(renewal.id) == ["csr-request-sent"]
    assert world.envelope_states() == ["sealed"]
    assert world.held() == []


def test_second_request_for_the_same_renewal_sends_no_mail(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested(), renewal.csr_requested())
    while world.send():
        pass
    assert len(world.server.taken) == 1


def test_reply_451_delays_the_mail(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.append("451 Busy")
    assert world.send()
    assert not world.send()
    world.pass_time(seconds=2)
    assert world.send()
    assert len(world.server.taken) == 1
    assert world.server.offered[0] == world.server.offered[1]
    assert world.announced_types(renewal.id) == ["csr-request-sent"]


def test_mail_delayed_for_five_days_bounces(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.pass_time(days=6)
    world.server.rcpt.append("450 Mailbox busy")
    assert world.send()
    assert world.announced_types(renewal.id) == ["mail-bounced"]


def test_reply_550_bounces_and_is_not_retried(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.rcpt.append("550 No such mailbox")
    assert world.send()
    world.pass_time(days=1)
    assert not world.send()
    assert world.mail_states() == [("csr-request", "bounced")]
    assert world.announced_types(renewal.id) == ["mail-bounced"]


def test_connection_lost_after_the_dot_resends_the_same_bytes_once(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.append(LOSE_CONNECTION)
    assert world.send()
    assert world.announced_types(renewal.id) == []
    world.pass_time(seconds=2)
    assert world.send()
    assert len(world.server.taken) == 2
    assert world.server.taken[0] == world.server.taken[1]
    assert world.announced_types(renewal.id) == ["csr-request-sent"]


def test_after_a_second_loss_an_operator_decides(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.extend([LOSE_CONNECTION, LOSE_CONNECTION])
    for _ in range(4):
        world.send()
        world.pass_time(minutes=1)
    assert len(world.server.taken) == 2
    ((mail_id, state),) = world.rows("SELECT id, state FROM mails")
    assert state == "unconfirmed"
    with world.begin() as tx:
        posting.resend(tx, mail_id, actor="operator")
    assert world.send()
    assert world.announced_types(renewal.id) == ["csr-request-sent"]
    with world.begin() as tx, pytest.raises(PostingRefused):
        posting.resend(tx, mail_id, actor="operator")


def test_killed_sender_causes_one_repetition_at_most(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.rows("UPDATE mails SET state = 'sending', tries = 1, due_at = due_at + interval '30 s' RETURNING id")
    assert not world.send()
    world.pass_time(seconds=31)
    assert world.send()
    assert len(world.server.taken) == 1
    assert world.announced_types(renewal.id) == ["csr-request-sent"]


@pytest.mark.parametrize(
    ("language", "title", "words"),
    [
        (Language.TRADITIONAL_CHINESE, "提交證書簽署要求（CSR）", "請在該伺服器的現有證書到期前提交每份CSR。"),
        (Language.SIMPLIFIED_CHINESE, "提交证书签名请求（CSR）", "请在该服务器的当前证书到期前提交每份CSR。"),
    ],
)
def test_chinese_mail_crosses_smtp_in_ascii_and_arrives_in_chinese(
    world: World, language: Language, title: str, words: str
) -> None:
    """RFC 2047 for its headers; UTF-8, quoted-printable, for its bodies."""
    renewal = world.renewal(language)
    renewal.ar = replace(renewal.ar, name="陳大文")
    world.apply(renewal.csr_requested())
    assert world.send()
    (raw,) = world.server.taken
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    head = raw.partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ")
    fields = {name: value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
    assert re.match(r"=\?utf-8\?[bq]\?", fields["Subject"])
    wanted = f"{title} / Submission of Certificate Signing Request (CSR)"
    assert str(make_header(decode_header(fields["Subject"]))) == wanted
    assert str(make_header(decode_header(fields["To"]))) == "陳大文 <chan@example.hk>"
    message = parse(raw)
    for part in message.iter_parts():
        assert (part.get_content_charset(), part["Content-Transfer-Encoding"]) == ("utf-8", "quoted-printable")
        assert words in part.get_content()
        assert f"{language.lower()}/renewals/{renewal.id}" in part.get_content()


def test_mail_language_is_that_of_the_signed_document(world: World) -> None:
    world.apply(world.renewal(Language.SIMPLIFIED_CHINESE).csr_requested(language=Language.ENGLISH))
    assert world.send()
    assert "服务器" in text_of(parse(world.server.taken[0]))


@pytest.mark.parametrize("whose", ["identity_signer", "payment_signer"])
def test_forged_proof_is_held_and_sends_no_mail(world: World, whose: str) -> None:
    renewal = world.renewal()
    setattr(renewal, whose, "stranger")
    world.apply(renewal.csr_requested())
    assert world.held() == ["token-refused"]
    assert world.rows("SELECT count(*) FROM mails") == [(0,)]


@pytest.mark.parametrize("receipt", ["", "no token at all", "attestation"])
def test_request_without_a_receipt_is_held_and_sends_no_mail(world: World, receipt: str) -> None:
    renewal = world.renewal()
    proof = renewal.attestation() if receipt == "attestation" else receipt
    world.apply(renewal.csr_requested(receipt=proof))
    assert world.held() == ["token-refused"]
    assert world.rows("SELECT count(*) FROM mails") == [(0,)]


def test_proofs_of_another_document_renewal_or_fee_are_held(world: World) -> None:
    changed, borrowed, lent, unpaid, other = (world.renewal() for _ in range(5))
    world.apply(changed.csr_requested(document=changed.document(reference="R26-0002")))
    world.apply(borrowed.csr_requested(attestation=other.attestation()))
    world.apply(lent.csr_requested(receipt=other.receipt()))
    world.apply(unpaid.csr_requested(receipt=unpaid.receipt(amount_minor=1)))
    relabelled = world.renewal()
    world.apply(relabelled.csr_requested(attestation=relabelled.attestation(renewal_id=str(other.id))))
    assert world.held() == ["proof-refused"] * 5
    assert world.rows("SELECT count(*) FROM mails") == [(0,)]


@pytest.mark.parametrize("address", ["chan@example.hk\r\nBcc: all@example.hk", "not an address", ""])
def test_invalid_address_is_held(world: World, address: str) -> None:
    renewal = world.renewal()
    renewal.ar = replace(renewal.ar, email=address)
    world.apply(renewal.csr_requested())
    assert world.held() == ["not-an-e-mail-address"]


def test_name_with_line_breaks_adds_no_header(world: World) -> None:
    renewal = world.renewal()
    renewal.ar = replace(renewal.ar, name="Eve\r\nBcc: all@example.hk\r\n\r\n<b>Hello</b>")
    world.apply(renewal.csr_requested())
    assert world.send()
    (message,) = map(parse, world.server.taken)
    assert message["Bcc"] is None
    assert message["To"].addresses[0].display_name == "Eve Bcc: all@example.hk <b>Hello</b>"

"""A mail that cannot be delivered: what application, the AR and the back office learn, and what is tried again."""

from datetime import timedelta

import pytest

from services.mailing import bounces, envelope_store, posting
from services.mailing.domain import Template
from services.mailing.refusals import PostingRefused, ReportRefused
from shared.events.base import Topic
from shared.events.mailing import MailBounced
from shared.messaging import codec
from tests.integration.services.mailing.mail_server import LOSE_CONNECTION
from tests.integration.services.mailing.world import Renewal, World
from tests.unit.services.mailing.reports import report


@pytest.fixture
def sent(world: World) -> Renewal:
    """A renewal whose CSR e-mail the mail server has taken."""
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.send_all()
    return renewal


def bounce(world: World, content: bytes) -> bool:
    with world.begin() as tx:
        return posting.record_bounced(tx, bounces.read(content), actor="postmaster")


def message_id(world: World) -> str:
    return str(world.rows("SELECT message_id FROM mails")[0][0])


def waiting(world: World) -> list[tuple[str, str, str | None]]:
    with world.begin() as tx:
        found = envelope_store.find_waiting(tx.conn, world.now - timedelta(days=30))
        return [(each.kind, each.what, each.why) for each in found]


def announced(world: World, renewal: Renewal) -> list[tuple[str, int, str]]:
    """Return MailBounced events of a renewal."""
    rows = world.rows(
        "SELECT data FROM outbox WHERE key = %s AND type = %s ORDER BY id", str(renewal.id), MailBounced.TYPE
    )
    events = [codec.decode_data(bytes(data), MailBounced) for (data,) in rows]
    return [(event.message_id, event.reply_code, str(event.template)) for event in events]


@pytest.mark.parametrize("where", ["rcpt", "data"])
def test_permanent_failure_is_announced_once_and_never_retried(world: World, where: str) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    getattr(world.server, where).append("554 Refused")
    assert world.send()
    world.pass_time(days=6)
    assert not world.send()
    assert announced(world, renewal) == [(message_id(world), 554, "csr-request")]
    assert world.announced_types(renewal.id) == ["mail-bounced"]
    assert waiting(world) == [("mail-bounced", "csr-request", "554")]


def test_4xx_backs_off_from_seconds_to_half_an_hour_and_gives_up_after_five_days(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.rcpt.extend(["450 Busy"] * 16)
    began, pauses = world.now, []
    for _ in range(14):
        assert world.send()
        ((due_at,),) = world.rows("SELECT due_at FROM mails")
        pauses.append((due_at - world.now).total_seconds())
        world.now = due_at
    assert pauses == [*(2**exponent for exponent in range(11)), 1800, 1800, 1800]
    world.now = began + timedelta(days=5)
    assert world.send()
    assert world.mail_states() == [("csr-request", "queued")]
    world.pass_time(hours=1)
    assert world.send()
    assert world.mail_states() == [("csr-request", "bounced")]
    assert announced(world, renewal) == [(message_id(world), 450, "csr-request")]


def test_mail_bounced_later_is_announced_once(world: World, sent: Renewal) -> None:
    content = report(message_id(world), diagnostic="Diagnostic-Code: smtp; 552 5.2.2 Mailbox full")
    assert bounce(world, content)
    assert not bounce(world, content)
    assert world.announced_types(sent.id) == ["csr-request-sent", "mail-bounced"]
    assert announced(world, sent) == [(message_id(world), 552, "csr-request")]
    assert waiting(world) == [("mail-bounced", "csr-request", "552")]
    assert world.rows("SELECT actor FROM audit_log WHERE action = 'mail-bounced'") == [("postmaster",)]


def test_unconfirmed_mail_that_bounces_is_no_longer_unconfirmed(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.extend([LOSE_CONNECTION, LOSE_CONNECTION])
    for _ in range(3):
        world.send_all()
    assert waiting(world) == [("mail-unconfirmed", "csr-request", None)]
    assert bounce(world, report(message_id(world)))
    assert world.mail_states() == [("csr-request", "bounced")]


@pytest.mark.usefixtures("sent")
def test_report_about_an_unknown_mail_changes_nothing(world: World) -> None:
    with pytest.raises(ReportRefused, match="not ours"):
        bounce(world, report("<somebody@else.example>"))
    assert world.mail_states() == [("csr-request", "sent")]


def test_report_about_an_unsent_mail_is_refused(world: World) -> None:
    world.apply(world.renewal().csr_requested())
    with pytest.raises(ReportRefused, match="queued"):
        bounce(world, report(message_id(world)))
    assert world.send()


def test_operator_sends_a_bounced_mail_once_more_with_the_same_message_id(world: World, sent: Renewal) -> None:
    bounce(world, report(message_id(world)))
    ((mail_id,),) = world.rows("SELECT id FROM mails")
    world.pass_time(days=10)
    with world.begin() as tx:
        posting.resend(tx, mail_id, actor="operator")
    world.server.data.append("451 Busy")  # ten days old, and not given up: its five days have begun again
    assert world.send_all() == []
    world.send_all()
    assert world.server.taken[0] == world.server.taken[1]
    assert world.announced_types(sent.id) == ["csr-request-sent", "mail-bounced", "csr-request-sent"]
    assert waiting(world) == []
    with world.begin() as tx, pytest.raises(PostingRefused):
        posting.resend(tx, mail_id, actor="operator")


def test_bounce_of_every_kind_of_mail_names_its_template(world: World, sent: Renewal) -> None:
    world.apply(sent.refund_due(0, "lint"))
    world.server.rcpt.append("550 No such mailbox")
    world.send_all()
    world.apply(sent.completed())
    world.server.rcpt.append("550 No such mailbox")
    world.send_all()
    assert [template for _, _, template in announced(world, sent)] == [
        Template.ITEM_REFUSED,
        Template.RENEWAL_COMPLETED,
    ]


def test_open_work_of_operators_is_listed_until_it_is_done(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.sealed("a.example.hk"), renewal.sealed("b.example.hk"))
    world.print_all()
    assert waiting(world) == [], "its batch is open"
    world.pass_time(minutes=2)
    assert world.close()
    assert [kind for kind, _, _ in waiting(world)] == ["envelope-printed"] * 2
    with world.begin() as tx:
        posting.record_withdrawn(tx, renewal.letter("a.example.hk").envelope_id, "spoiled", actor="clerk")
    assert waiting(world) == [("envelope-printed", "b.example.hk", None)]


def test_events_of_mails_and_letters_have_the_trace_of_their_request(world: World) -> None:
    asked, sealed = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")
    renewal = world.renewal()
    world.apply_records(world.record(renewal.csr_requested(), asked), world.record(renewal.sealed(), sealed))
    world.send_all()
    world.print_all()
    world.pass_time(minutes=2)
    world.close()
    with world.begin() as tx:
        envelope_store.save_posted(tx.conn, renewal.letter().envelope_id, "RA000000005HK", world.now.date(), world.now)
        posting.record_returned(tx, renewal.letter().envelope_id, "moved", world.now.date(), actor="clerk")
    traces = dict(world.rows("SELECT split_part(type, '.', 4), split_part(traceparent, '-', 2) FROM outbox"))
    assert traces == {"csr-request-sent": "a" * 32, "pin-envelope-returned": "b" * 32}
    assert [event.TOPIC for event in world.announced(renewal.id)] == [Topic.MAILING] * 2

"""Mail is not sent twice by a restored database, nor at all once its renewal was cancelled."""

import uuid

import pytest

from services.mailing import posting
from shared.events.application import RefundDue
from tests.integration.services.mailing.mail_server import LOSE_CONNECTION
from tests.integration.services.mailing.world import World
from tests.support.databases import AsNew
from tests.support.engines import Database
from tests.support.recalling import bring_back, travelled


def test_restored_database_does_not_send_a_csr_request_that_was_announced(
    world: World, mailing_database: Database
) -> None:
    renewal = world.renewal()
    asked = world.record(renewal.csr_requested())
    backup = AsNew.read(mailing_database.superuser_url)
    world.apply_records(asked)
    assert len(world.send_all()) == 1
    announced = travelled(world.pool)
    assert backup.restore(mailing_database.superuser_url)
    world.pool.check()
    bring_back(world.pool, announced)
    world.apply_records(asked)
    assert world.send_all() == []
    assert world.mail_states() == [("csr-request", "sent")]
    assert world.announced_types(renewal.id) == ["csr-request-sent"]


@pytest.mark.parametrize("trouble", ["451 Busy", LOSE_CONNECTION])
def test_delayed_csr_request_of_a_cancelled_renewal_is_not_sent(world: World, trouble: str) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.data.append(trouble)
    assert world.send()
    taken = len(world.server.taken)
    if trouble == LOSE_CONNECTION:
        world.apply(renewal.cancelled())
    else:
        world.rows("UPDATE mails SET state = 'sending' RETURNING id")
        world.apply(renewal.cancelled())
        world.rows("UPDATE mails SET state = 'queued' WHERE template = 'csr-request' RETURNING id")
    world.send_all()
    assert len(world.server.taken) == taken + 1
    assert sorted(world.mail_states()) == [("csr-request", "dropped"), ("renewal-cancelled", "sent")]


def test_bounced_csr_request_of_a_cancelled_renewal_is_not_sent_again_by_an_operator(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    world.server.rcpt.append("550 No such mailbox")
    assert world.send()
    world.apply(renewal.cancelled())
    world.send_all()
    [(mail_id,)] = world.rows("SELECT id FROM mails WHERE template = 'csr-request'")
    with world.begin() as tx:
        posting.resend(tx, mail_id, actor="clerk")
    assert world.send_all() == []


def test_refund_announced_under_two_ids_is_shown_once(world: World) -> None:
    renewal = world.renewal()
    world.apply(renewal.csr_requested())
    for _ in range(2):
        due = RefundDue(
            renewal_id=renewal.id,
            refund_id=uuid.uuid4(),
            item_id=renewal.items[0],
            amount_minor=250_000,
            currency="HKD",
            reason="refused",
        )
        world.apply(due)
    assert world.rows("SELECT amount_minor FROM refunds") == [(250_000,)]

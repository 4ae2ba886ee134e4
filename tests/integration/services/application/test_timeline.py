"""Facts of timeline rows, each in a field of the answer, for rows of today's and of earlier code."""

import uuid
from typing import Any

from shared.events.mailing import MailBounced, PINEnvelopePosted, PINEnvelopeReturned
from tests.integration.services.application.world import Renewal, World
from tests.support.builders import NOW

FACTS = ("server_name", "registered_number", "serial", "amount_minor", "template", "reason")
NUMBER, NAME = "RR123456785HK", "www.harbourlights.example.hk"


def facts(world: World, renewal: Renewal) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return detail and facts that are not null, by event."""
    return {
        row["event"]: (row["detail"], {name: row[name] for name in FACTS if row[name] is not None})
        for row in world.shown(renewal)["timeline"]
    }


def renewal_with_every_step(world: World) -> Renewal:
    renewal = world.paid()
    envelope: dict[str, Any] = {"renewal_id": renewal.id, "item_id": renewal.item_id(0), "envelope_id": uuid.uuid4()}
    world.apply(
        MailBounced(renewal_id=renewal.id, message_id="<1@ecert>", reply_code=550, template="csr-request"),
        PINEnvelopePosted(**envelope, server_name=NAME, registered_number=NUMBER, posted_on=NOW.date()),
        PINEnvelopeReturned(**envelope, reason="moved", returned_on=NOW.date()),
        world.opened(renewal),
        world.csr_received(renewal),
        world.issued(renewal),
    )
    return renewal


def expected(world: World, renewal: Renewal) -> dict[str, tuple[Any, dict[str, Any]]]:
    serial = world.shown(renewal)["items"][0]["serial"]
    return {
        "paid": (None, {}),
        "mail-bounced": ("csr-request", {"template": "csr-request"}),
        "pin-envelope-posted": (f"{NAME} {NUMBER}", {"server_name": NAME, "registered_number": NUMBER}),
        "pin-envelope-returned": ("moved", {"reason": "moved"}),
        "certificate-issued": (serial, {"serial": serial}),
    }


def test_timeline_answers_each_fact_in_its_field(world: World) -> None:
    renewal = renewal_with_every_step(world)
    shown = facts(world, renewal)
    assert {event: shown[event] for event in expected(world, renewal)} == expected(world, renewal)


def test_timeline_rows_with_text_alone_answer_the_same_fields(world: World) -> None:
    renewal = world.submitted()
    rows = {
        "pin-envelope-posted": (f"{NAME} {NUMBER}", {"server_name": NAME, "registered_number": NUMBER}),
        "pin-reissued": (NAME, {"server_name": NAME}),
        "certificate-issued": ("0a1b", {"serial": "0a1b"}),
        "refunded": ("250000", {"amount_minor": 250_000}),
        "mail-bounced": ("csr-request", {"template": "csr-request"}),
        "cancelled": ("no-csr", {"reason": "no-csr"}),
        "paid": (None, {}),
    }
    with world.pool.connection() as conn:
        for event, (detail, _) in rows.items():
            conn.execute(
                "INSERT INTO timeline (renewal_id, time, event, detail) VALUES (%s, %s, %s, %s)",
                (renewal.id, NOW, event, detail),
            )
    assert facts(world, renewal) == {"submitted": (None, {})} | rows


def test_timeline_of_a_refund_answers_its_amount(world: World) -> None:
    renewal = world.submitted()
    world.cancel(renewal)
    world.apply(world.captured(renewal), world.withheld(renewal))
    refund = world.shown(renewal)["refunds"][0]
    world.apply(world.refunded(renewal, uuid.UUID(refund["id"]), refund["amount_minor"]))
    shown = facts(world, renewal)
    assert shown["refunded"] == (str(refund["amount_minor"]), {"amount_minor": refund["amount_minor"]})
    assert shown["cancelled"] == ("cancelled", {"reason": "cancelled"})

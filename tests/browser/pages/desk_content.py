"""A desk that has seen much: renewals in every state, letters wherever they get, held events of every kind."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

from devtools.scenario.clerk import registered_number
from services.mailing.operator_api import OPERATIONS
from shared.db import Pool
from shared.events.application import RenewalCancelled, RenewalCompleted
from shared.events.base import Event
from shared.events.issuance import (
    CertificateAccepted,
    CertificateRevoked,
    IssuanceRefused,
    IssuanceWithheld,
    PINReissued,
    PINVoided,
)
from shared.events.mailing import PINEnvelopeReturned
from shared.vocabulary import ItemId, RenewalId
from tests.integration.backoffice.desk.world import Publication, Renewal, World, consumer, operating
from tests.support.builders import NOW, Item

OPERATOR: Final = "yip-hoi-ching"
SUPERVISOR: Final = "tsang-man-kit"
# As long as names of servers get, and as long as a document may name.
LONG: Final = "warehouse-management-and-customs-clearance.hong-kong-island.harbourlights.example.com.hk"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def renewal(number: int, *names: str) -> Renewal:
    """Return the renewal of this number: one certificate for these names."""
    code = "".join(_LETTERS[(number // 26**place) % 26] for place in range(9, -1, -1))
    item = Item(
        id=ItemId(uuid.UUID(int=number << 64 | 2)),
        reference=f"E-{code}",
        srn=f"{2_310_000 + number:010d}",
        product="multi-domain" if len(names) > 1 else "standard",
        server_names=names or (f"host{number}.harbourlights.example.hk",),
    )
    return Renewal(id=RenewalId(uuid.UUID(int=number << 64 | 1)), reference=f"R-{code}", items=(item,))


def asked(each: Renewal) -> list[Event]:
    """Return the events up to where its CSR is awaited and its letter is in the post, with its registered number."""
    posted = replace(each.posted(), registered_number=registered_number(int(each.items[0].srn)))
    return [*each.asked()[:-1], posted]


@contextmanager
def operated(pool: Pool, sockets: Path) -> Iterator[None]:
    """Run mailing's operator API on its own database, with batches in it."""
    with pool.connection() as conn:
        conn.execute(
            """INSERT INTO posting_batches (id, number, state, opened_at, closes_at, due_at, closed_at, manifest_sha256)
               SELECT gen_random_uuid(), n, CASE n WHEN 12 THEN 'open' ELSE 'closed' END, %(now)s, %(now)s, %(now)s,
                      CASE n WHEN 12 THEN NULL ELSE %(now)s - (12 - n) * interval '1 day' END,
                      CASE n WHEN 12 THEN NULL ELSE repeat('0', 64) END
               FROM generate_series(1, 12) AS n""",
            {"now": NOW},
        )
    applier = replace(consumer(Publication()), consumer="mailing")
    with operating("mailing", pool, sockets / "mailing.sock", applier=applier, operations=OPERATIONS):
        yield


def furnish(world: World) -> None:
    """Let everything happen."""
    _issue(world)
    _end_otherwise(world)
    _post(world)
    _hold(world)
    for number in range(200, 230):
        world.apply(*asked(renewal(number)))


def _issue(world: World) -> None:
    done = renewal(1, "www.harbourlights.example.hk", "xn--czrs0t.xn--fsqu00a.xn--j6w193g", LONG)
    item_id, certificate = done.items[0].id, done.issued()
    world.apply(*asked(done), done.csr(), certificate)
    serial: str = certificate.serial  # type: ignore[attr-defined]  # it is a CertificateIssued
    world.apply(
        CertificateAccepted(renewal_id=done.id, item_id=item_id, serial=serial, accepted_at=NOW),
        RenewalCompleted(renewal_id=done.id, issued=(item_id,), refused=()),
    )
    revoked = renewal(2)
    certificate = revoked.issued()
    world.apply(*asked(revoked), revoked.csr(), certificate)
    world.apply(
        CertificateRevoked(
            renewal_id=revoked.id,
            item_id=revoked.items[0].id,
            serial=certificate.serial,  # type: ignore[attr-defined]
            reason="superseded",
            revoked_at=NOW,
        )
    )


def _end_otherwise(world: World) -> None:
    refused = renewal(3, LONG)
    world.apply(*asked(refused), refused.csr())
    world.apply(IssuanceRefused(renewal_id=refused.id, item_id=refused.items[0].id, reason="caa-forbids"))
    withdrawn = renewal(4)
    world.apply(*asked(withdrawn), IssuanceWithheld(renewal_id=withdrawn.id))
    world.apply(RenewalCancelled(renewal_id=withdrawn.id, reason="withdrawn"))


def letter(number: int) -> uuid.UUID:
    """Return the envelope of this renewal's first server name."""
    return uuid.uuid5(renewal(number).items[0].id, "0")


def _post(world: World) -> None:
    """Make letters: 10 is posted, 11 was returned, 12 was lost and is being replaced, 13 was returned, then voided."""
    renewals = {number: renewal(number) for number in (10, 11, 12, 13)}
    for each in renewals.values():
        world.apply(*asked(each))
    for number in (11, 13):
        world.apply(
            PINEnvelopeReturned(
                renewal_id=renewals[number].id,
                item_id=renewals[number].items[0].id,
                envelope_id=letter(number),
                reason="moved away, forwarding address unknown 遷移，地址不詳",
                returned_on=date(2026, 11, 23),
            )
        )
    for number, reason in ((12, "lost"), (13, "returned")):
        gone, item = renewals[number], renewals[number].items[0]
        [name] = item.server_names
        old, new = letter(number), uuid.uuid5(item.id, "new")
        world.apply(
            PINVoided(renewal_id=gone.id, item_id=item.id, envelope_id=old, server_name=name, reason=reason),
            PINReissued(renewal_id=gone.id, item_id=item.id, envelope_id=new, server_name=name, replaces=old),
        )


def _hold(world: World) -> None:
    """Make held events: 20 is forged and awaits approval, 21 is forged, 22 has a gap; the last is no event at all."""
    for number in (20, 21):
        forged = renewal(number)
        world.apply(*asked(forged))
        world.apply_records(
            world.publisher.record(forged.csr(), sign="stranger"), world.publisher.record(forged.issued())
        )
    late = renewal(22)
    world.publisher.record(late.submitted())
    world.apply_records(world.publisher.record(late.requested()))
    record = world.publisher.record(renewal(23).submitted())
    world.apply_records(replace(record, key=b"\xffno key at all\x00" * 8, headers=(("x", b"y"),), value=b"\xfe\xff"))
    world.post(OPERATOR, f"/held/desk/{held_event(world, 20)}/skip", reason="Signed by a stranger’s key; 偽造")


def held_event(world: World, number: int) -> int:
    """Return the number under which the desk holds this renewal's first held event."""
    [(found,)] = world.rows("SELECT min(id) FROM parked_events WHERE key = %s", str(renewal(number).id))
    return int(found)


def unreadable(world: World) -> int:
    """Return the number of the record that is no event."""
    [(found,)] = world.rows("SELECT max(id) FROM parked_events")
    return int(found)

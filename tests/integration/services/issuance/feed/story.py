"""Events at issuance while others read its feed, and what issuance's own database says of it."""

from services.issuance import revocation
from services.issuance.ca.crl import RevocationReason
from tests.integration.services.issuance.world import Renewal, World


def serial(world: World, renewal: Renewal) -> str:
    ((found,),) = world.rows("SELECT serial FROM certificates WHERE renewal_id = %s", renewal.renewal_id)
    return str(found)


def live(world: World, number: int) -> None:
    """Renew three certificates: one is accepted, one is revoked after that, one is left."""
    names = [f"host{number}-{n}.example.hk" for n in range(3)]
    renewals = [world.issued([name]) for name in names]
    with world.begin() as tx:
        for renewal in renewals[:2]:
            revocation.accept(tx, renewal.items[0].item_id, renewal.caller)
    with world.begin() as tx:
        revocation.revoke_serial(tx, serial(world, renewals[1]), RevocationReason.SUPERSEDED, "test")


def certificates(world: World) -> dict[str, dict[str, str]]:
    """Return the certificates of issuance's own database."""
    rows = world.rows("SELECT serial, sha256, accepted_at, revocation_reason FROM certificates")
    return {
        serial: {
            "sha256": sha256.hex(),
            "state": f"revoked: {reason}" if reason else "accepted" if accepted_at else "issued",
        }
        for serial, sha256, accepted_at, reason in rows
    }


def all_stamped(world: World) -> bool:
    return not world.rows("SELECT 1 FROM outbox WHERE topic = 'issuance.events' AND position IS NULL")


def all_sent(world: World) -> bool:
    return not world.rows("SELECT 1 FROM outbox WHERE sent_at IS NULL")


def head(world: World) -> int:
    ((position,),) = world.rows("SELECT last_position FROM feeds")
    return int(position)

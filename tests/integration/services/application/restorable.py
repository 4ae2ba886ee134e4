"""application's database with a backup, and what must be the same after a restore."""

from collections.abc import Callable
from typing import Any

from services.application import rebuilding
from shared.events.base import Envelope
from shared.messaging.outbox_recovery import RecoveryReport
from tests.integration.services.application.world import World
from tests.support.databases import AsNew
from tests.support.engines import Database
from tests.support.recalling import bring_back, travelled

Change = Callable[[Envelope], Envelope | None]


class Restorable:
    """A database with a backup: what comes after it can be forgotten."""

    def __init__(self, world: World, database: Database) -> None:
        self.world = world
        self.address = database.superuser_url
        self.take()

    def take(self) -> None:
        """Make the backup."""
        self.backup = AsNew.read(self.address)

    def restore(self, change: Change = lambda envelope: envelope) -> RecoveryReport:
        """Go back to the backup, and recall."""
        announced = [each for each in map(change, travelled(self.world.pool)) if each is not None]
        assert self.backup.restore(self.address)
        self.world.pool.check()
        return bring_back(self.world.pool, announced, then=rebuilding.rebuild)

    def read_again(self) -> None:
        """Reset the consumer's offsets to the beginning, and read everything again."""
        records, self.world.delivered = self.world.delivered, []
        for record in records:
            self.world.apply_records(record)


def everything(world: World) -> dict[str, Any]:
    """Return all that the service knows of its renewals, but for the ids of timeline rows and what it has announced."""
    return {
        "renewals": world.rows("SELECT * FROM renewals ORDER BY id"),
        "items": world.rows("SELECT * FROM items ORDER BY id"),
        "timers": world.rows("SELECT renewal_id, state, due_at FROM timers ORDER BY renewal_id"),
        "refunds": world.rows("SELECT * FROM refunds ORDER BY id"),
        "subscriptions": world.rows("SELECT * FROM subscriptions ORDER BY srn"),
        "outbox": world.rows("SELECT event_id, key, sequence FROM outbox ORDER BY key, sequence"),
        "held": world.rows("SELECT reason FROM parked_events"),
    }

"""Descriptor of a service: what its processes and commands are built from."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared import db
from shared.db import Pool
from shared.messaging import outbox_recovery
from shared.messaging.applier import Applier
from shared.messaging.feed import Feed
from shared.messaging.subscriptions import Subscription, by_type
from shared.runtime import migrate
from shared.runtime.database_gauges import Reading
from shared.runtime.migrate import Migration
from shared.runtime.operator_commands import OperatorCommand
from shared.runtime.pruning import Rule
from shared.runtime.task_loop import Task
from shared.security import signed_extract
from shared.settings import ServiceSettings
from shared.tx import utc_now

if TYPE_CHECKING:
    import flask

    from shared.operators.operator_api import Operations

CODE_VERSION: Final = "0.1.0"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Command that runs a process."""

    help: str
    run: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class CommandGroup:
    """Command with commands of its own, such as `held`."""

    help: str
    commands: Mapping[str, OperatorCommand]


AnyCommand = Command | OperatorCommand | CommandGroup


@dataclass(frozen=True, kw_only=True)
class Service:
    """Descriptor of a service; each function builds dependencies, in the process that needs them.

    Without `subscriptions` it consumes no events, and has neither `consume` nor `held`; nor `operate`, unless it has
    operations of its own.
    """

    name: str
    purpose: str
    read_settings: Callable[[], ServiceSettings]
    make_app: "Callable[[Pool], flask.Flask]"
    tasks: Callable[[Pool], Sequence[tuple[str, Task]]]
    migrations: Path
    subscriptions: Callable[[], Sequence[Subscription]] | None = None
    readings: Sequence[Reading] = ()
    # Pruning rules beside those of every database.
    pruning: Sequence[Rule] = ()
    # Used by the relay only, if the service's topic is a feed.
    feed: Callable[[], Feed] | None = None
    # The service's own part of its operator API; used by `operate` only.
    operations: "Callable[[], Operations] | None" = None
    # The end of an outbox recovery: put back the state that the events are about, and return what could not be.
    after_recall: Callable[[Pool, int, str], Sequence[str]] | None = None
    commands: Mapping[str, AnyCommand] = field(default_factory=dict)
    # The service's own part of its extract, beside that of every service.
    extracts: Sequence[signed_extract.Table] = ()

    def files(self) -> list[Migration]:
        """Return all migrations of the service's database."""
        return migrate.load(self.name, self.migrations)


def open_current_pool(
    service: Service, settings: ServiceSettings, name: str, *, max_size: int = 4, while_recovering: bool = False
) -> Pool:
    """Open a pool on a database that this code can use; waits for it to come up.

    Raises NotMigrated for an older schema, and RecoveryUnfinished while an outbox recovery is open, unless the caller
    writes no events.
    """
    pool = db.open_pool(settings.database_url, name=f"{service.name}-{name}", max_size=max_size)
    try:
        migrate.wait_until_current(pool, service.files())
        if not while_recovering:
            outbox_recovery.require_ended(pool)
    except BaseException:
        pool.close()
        raise
    return pool


def applier(name: str, subscriptions: Sequence[Subscription], **given: Any) -> Applier:
    """Return the applier of a service's consumer; tests pass a clock."""
    defaults: dict[str, Any] = {"clock": utc_now, "new_id": uuid.uuid4, "code_version": CODE_VERSION}
    return Applier(consumer=name, handlers=by_type(subscriptions), **{**defaults, **given})

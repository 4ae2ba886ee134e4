"""SQL of timelines; takes a connection and never commits."""

from datetime import datetime
from typing import Any

from psycopg.rows import kwargs_row

from services.application.timeline import NO_DETAILS, Details, TimelineEntry, TimelineEvent, read_text
from shared.db import Conn
from shared.tx import Tx
from shared.vocabulary import ItemId, RenewalId


def add_event(
    tx: Tx,
    renewal_id: RenewalId,
    event: TimelineEvent,
    item_id: ItemId | None = None,
    details: Details = NO_DETAILS,
    at: datetime | None = None,
) -> None:
    """Add an event to the renewal's timeline, with the time at which it was announced, or `at`."""
    announced = tx.now if tx.event is None else tx.event.time
    tx.conn.execute(
        """INSERT INTO timeline (renewal_id, time, event, item_id, detail, server_name, registered_number, serial,
                                 amount_minor, template, reason, server_names)
           VALUES (%(renewal_id)s, %(time)s, %(event)s, %(item_id)s, %(detail)s, %(server_name)s,
                   %(registered_number)s, %(serial)s, %(amount_minor)s, %(template)s, %(reason)s, %(server_names)s)""",
        {"renewal_id": renewal_id, "time": at or announced, "event": event, "item_id": item_id, "detail": details.text}
        | vars(details)
        | {"server_names": None if details.server_names is None else list(details.server_names)},
    )


def _entry(
    *,
    time: datetime,
    event: str,
    item_id: ItemId | None,
    detail: str | None,
    server_names: list[str] | None,
    **facts: Any,
) -> TimelineEntry:
    details = Details(server_names=None if server_names is None else tuple(server_names), **facts)
    if detail is not None and details == Details():
        details = read_text(event, detail)
    return TimelineEntry(time=time, event=event, item_id=item_id, detail=detail, details=details)


def find_timeline(conn: Conn, renewal_id: RenewalId) -> list[TimelineEntry]:
    """Return a renewal's timeline, oldest event first."""
    with conn.cursor(row_factory=kwargs_row(_entry)) as cursor:
        return cursor.execute(
            """SELECT time, event, item_id, detail, server_name, registered_number, serial, amount_minor, template,
                   reason, server_names
               FROM timeline WHERE renewal_id = %s ORDER BY time, id""",
            (renewal_id,),
        ).fetchall()

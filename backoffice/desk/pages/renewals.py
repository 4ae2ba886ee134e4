"""Page of one renewal: a timeline over all services' events, with what was verified of them."""

import uuid
from typing import Final

import flask

from backoffice.desk import envelopes, reading, verifying, web

blp: Final = flask.Blueprint("renewals", __name__)


@blp.get("/renewals/<uuid:renewal_id>")
def timeline(renewal_id: uuid.UUID) -> flask.Response:
    """Return all events of a renewal in order, and its held and missing events."""
    with web.deps().pool.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        renewal = reading.find_renewal(conn, renewal_id)
        if renewal is None:
            flask.abort(404)
        items = reading.items_of(conn, renewal_id)
        steps = reading.steps_of(conn, renewal_id)
        threads = verifying.threads(steps, reading.threads_of(conn, renewal_id))
        skipped = reading.find_skipped(conn, renewal_id)
        letters = envelopes.of_renewal(conn, renewal_id)
    return web.show(
        "renewal.html",
        renewal=renewal,
        items=items,
        names={item.item_id: item for item in items},
        steps=steps,
        threads=threads,
        skipped=skipped,
        envelopes=letters,
    )

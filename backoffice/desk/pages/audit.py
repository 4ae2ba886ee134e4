"""Page of the desk's audit log, for the auditor: actions with time, person and reason, and refused sign-ins."""

from typing import Final

import flask

from backoffice.desk import auditing, web

blp: Final = flask.Blueprint("audit", __name__)


@blp.get("/audit")
def listing() -> flask.Response:
    """Return the page of records, newest first."""
    before = flask.request.args.get("before", type=int)
    with web.deps().pool.connection() as conn:
        entries, following = auditing.list_entries(conn, before)
    return web.show("audit.html", entries=entries, following=following)

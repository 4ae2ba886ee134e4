"""Certificates: found by whatever somebody quotes, and the three lists."""

from typing import Final

import flask

from backoffice.desk import reading, searching, web
from backoffice.desk.reading import Standing

blp: Final = flask.Blueprint("certificates", __name__)


@blp.get("/")
def search() -> flask.Response:
    """One field for a reference, an SRN, a server name, a serial number or a registered number."""
    text = flask.request.args.get("q", "").replace("\0", "").strip()[: searching.MAX_LENGTH]
    found = None
    if text:
        with web.deps().pool.connection() as conn:
            found = reading.find_items(conn, searching.read(text))
    return web.show("search.html", text=text, found=found, most=reading.FOUND_AT_MOST)


@blp.get("/certificates/<any(waiting, issued, refused):standing>")
def listing(standing: str) -> flask.Response:
    """What waits, oldest first; what was issued or refused, newest first."""
    with web.deps().pool.connection() as conn:
        items, following = reading.list_items(conn, Standing(standing), web.after())
    return web.show("certificates.html", standing=standing, items=items, following=following)

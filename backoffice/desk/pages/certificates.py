"""Certificate search by any number or name, and the three lists of certificates."""

from typing import Final

import flask

from backoffice.desk import reading, searching, web
from backoffice.desk.reading import Standing

blp: Final = flask.Blueprint("certificates", __name__)


@blp.get("/")
def search() -> flask.Response:
    """Search by reference, SRN, server name, serial number or registered number, typed into one field."""
    text = flask.request.args.get("q", "").replace("\0", "").strip()[: searching.MAX_LENGTH]
    found = None
    if text:
        with web.deps().pool.connection() as conn:
            found = reading.find_items(conn, searching.read(text))
    return web.show("search.html", text=text, found=found, most=reading.MAX_FOUND)


@blp.get("/certificates/<any(waiting, issued, refused):standing>")
def listing(standing: str) -> flask.Response:
    """Return a list: waiting items with the oldest first, issued or refused ones with the newest first."""
    with web.deps().pool.connection() as conn:
        items, following = reading.list_items(conn, Standing(standing), web.after())
    return web.show("certificates.html", standing=standing, items=items, following=following)

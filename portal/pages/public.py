"""Pages for everyone: the start, help, contact, site map, accessibility, privacy."""

from typing import Final

import flask
from werkzeug.wrappers import Response

from portal import languages, vendors, web
from portal.languages import Edition

blp: Final = flask.Blueprint("public", __name__)


@blp.get("/")
def negotiate() -> Response:
    """The start page in the browser's language."""
    language = languages.negotiate(list(flask.request.accept_languages.values()))
    return web.redirect("public.start", edition=Edition(language, text=flask.request.args.get("text") == "1"))


@blp.get("/<edition:edition>/")
def start() -> flask.Response:
    """Who can renew online, what to have ready, "Apply Now"."""
    return web.show("start.html", vendors=vendors.TOKEN_VENDORS)


@blp.get("/<edition:edition>/help")
def help_() -> flask.Response:
    """Questions and answers."""
    return web.show("help.html")


@blp.get("/<edition:edition>/contact")
def contact() -> flask.Response:
    """How to reach a person."""
    return web.show("contact.html")


@blp.get("/<edition:edition>/sitemap")
def sitemap() -> flask.Response:
    """Every page."""
    return web.show("sitemap.html")


@blp.get("/<edition:edition>/accessibility")
def accessibility() -> flask.Response:
    """The accessibility statement."""
    return web.show("accessibility.html")


@blp.get("/<edition:edition>/privacy")
def privacy() -> flask.Response:
    """The Personal Information Collection Statement."""
    return web.show("privacy.html")

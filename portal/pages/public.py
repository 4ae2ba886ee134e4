"""Public pages: start, help, contact, site map, accessibility, privacy."""

from typing import Final

import flask
from werkzeug.wrappers import Response

from portal import e_cert_guides, languages, published, signing_guides, vendors, web
from portal.languages import Edition

blp: Final = flask.Blueprint("public", __name__)


@blp.get("/")
def negotiate() -> Response:
    """Redirect to the start page in the browser's language."""
    language = languages.negotiate(list(flask.request.accept_languages.values()))
    return web.redirect("public.start", edition=Edition(language, text=flask.request.args.get("text") == "1"))


@blp.get("/<edition:edition>/")
def start() -> flask.Response:
    """Return the start page: who can renew online, what to prepare, "Apply Now"."""
    return web.show(
        "start.html",
        prices=published.prices(),
        usb=e_cert_guides.USB,
        browsers=e_cert_guides.BROWSERS,
        token=e_cert_guides.TOKEN,
        vendors=vendors.TOKEN_VENDORS,
    )


@blp.get("/<edition:edition>/terms")
def terms() -> flask.Response:
    """Return the current terms."""
    return web.show("terms.html", terms=published.terms())


@blp.get("/<edition:edition>/terms/<version>")
def terms_of(version: str) -> flask.Response:
    """Return the terms of a version."""
    return web.show("terms.html", terms=published.terms(version))


@blp.get("/terms/<version>.json")
def terms_file(version: str) -> flask.Response:
    """Return the exact bytes whose SHA-256 a signed application contains."""
    headers = {"Content-Disposition": f'attachment; filename="terms-{published.terms(version).version}.json"'}
    return flask.Response(published.terms(version).body, headers=headers, content_type="application/json")


@blp.get("/<edition:edition>/help")
def help_() -> flask.Response:
    """Return the page of questions and answers."""
    return web.show("help.html", convert=signing_guides.CONVERT)


@blp.get("/<edition:edition>/contact")
def contact() -> flask.Response:
    """Return the contact page."""
    return web.show("contact.html")


@blp.get("/<edition:edition>/sitemap")
def sitemap() -> flask.Response:
    """Return the site map."""
    return web.show("sitemap.html")


@blp.get("/<edition:edition>/accessibility")
def accessibility() -> flask.Response:
    """Return the accessibility statement."""
    return web.show("accessibility.html")


@blp.get("/<edition:edition>/privacy")
def privacy() -> flask.Response:
    """Return the Personal Information Collection Statement."""
    return web.show("privacy.html")

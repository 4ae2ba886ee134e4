"""Views of what everybody may fetch: the CRL, CA certificates, and what the CAs above have given for publication."""

from datetime import UTC, timedelta
from http import HTTPStatus
from typing import Final

import flask

from services.issuance import certificate_store
from services.issuance.api.blueprint import Deps, blp
from services.issuance.publication import CERTIFICATE_AGE, CRL_AGE, NotPublished, etag_of
from shared.errors import Unavailable
from shared.web import request
from shared.web.openapi import for_everyone, refuses

_BYTES: Final = {"type": "string", "format": "binary"}
_CACHED: Final = {"ETag": {"required": True, "schema": {"type": "string"}}}
not_modified = blp.alt_response(HTTPStatus.NOT_MODIFIED, description="Unchanged since the `ETag` in `If-None-Match`")


class NoCRLYet(Unavailable):
    """No CRL has been made yet."""

    reason = "no-crl-yet"


@blp.get("/crl")
@for_everyone
@not_modified
@blp.response(200, _BYTES, content_type="application/pkix-crl", headers=_CACHED)
def download_crl() -> flask.Response:
    """Return the certificate revocation list (DER)."""
    return _latest_crl()


def _latest_crl() -> flask.Response:
    with request.transaction() as tx:
        latest = certificate_store.latest_crl(tx.conn)
    if latest is None or latest.der is None:
        raise NoCRLYet("try again in a moment")
    response = flask.Response(latest.der, content_type="application/pkix-crl")
    response.last_modified = latest.this_update.astimezone(UTC)
    return _public(response, f"crl-{latest.number}", CRL_AGE)


@blp.get("/ca-certificate")
@for_everyone
@not_modified
@blp.response(200, _BYTES, content_type="application/pkix-cert", headers=_CACHED)
def download_ca_certificate() -> flask.Response:
    """Return the issuing CA's certificate (DER)."""
    return _ca_certificate()


def _ca_certificate() -> flask.Response:
    ca = request.deps(Deps).ca
    response = flask.Response(ca.der, content_type="application/pkix-cert")
    return _public(response, f"ca-{ca.key_identifier.hex()}", CERTIFICATE_AGE)


@blp.get("/publications/crl/<string:file>")
@for_everyone
@refuses(NotPublished)
@not_modified
@blp.response(200, _BYTES, content_type="application/pkix-crl", headers=_CACHED)
def download_published_crl(file: str) -> flask.Response:
    """Return the CRL that certificates name, or one of a CA above; the gateway serves them by plain HTTP as /crl/."""
    publication = request.deps(Deps).publication
    if file == publication.crl_file:
        return _latest_crl()
    return _given(publication.read(file, ".crl"), "application/pkix-crl", CRL_AGE)


@blp.get("/publications/root/<string:file>")
@for_everyone
@refuses(NotPublished)
@not_modified
@blp.response(200, _BYTES, content_type="application/pkix-cert", headers=_CACHED)
def download_published_certificate(file: str) -> flask.Response:
    """Return the certificate of the issuing CA or of one above; the gateway serves them by plain HTTP as /root/."""
    publication = request.deps(Deps).publication
    if file == publication.certificate_file:
        return _ca_certificate()
    return _given(publication.read(file, ".crt"), "application/pkix-cert", CERTIFICATE_AGE)


def _given(content: bytes, media_type: str, age: timedelta) -> flask.Response:
    """Return a file that a CA above has given for publication."""
    return _public(flask.Response(content, content_type=media_type), etag_of(content), age)


def _public(response: flask.Response, etag: str, age: timedelta) -> flask.Response:
    response.set_etag(etag)
    response.cache_control.public = True
    response.cache_control.max_age = int(age.total_seconds())
    response.make_conditional(flask.request)
    return response

"""Views of what everybody may fetch: the CRL, CA certificates, and what the CAs above have given for publication."""

from datetime import UTC, timedelta

import flask
from cryptography import x509

from services.issuance import certificate_store
from services.issuance.api.blueprint import Deps, blp
from services.issuance.api.files import BYTES, CACHED, not_modified, public
from services.issuance.certificate_forms import DER_TYPE, PEM_TYPE, pem
from services.issuance.publication import CERTIFICATE_AGE, CRL_AGE, NotPublished, etag_of
from shared.errors import Unavailable
from shared.web import request
from shared.web.openapi import for_everyone, refuses


class NoCRLYet(Unavailable):
    """No CRL has been made yet."""

    reason = "no-crl-yet"


@blp.get("/crl")
@for_everyone
@not_modified
@blp.response(200, BYTES, content_type="application/pkix-crl", headers=CACHED)
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
    return public(response, f"crl-{latest.number}", CRL_AGE)


@blp.get("/ca-certificate")
@for_everyone
@not_modified
@blp.response(200, BYTES, content_type=DER_TYPE, headers=CACHED)
def download_ca_certificate() -> flask.Response:
    """Return the issuing CA's certificate (DER)."""
    return _ca_certificate()


def _ca_certificate() -> flask.Response:
    ca = request.deps(Deps).ca
    response = flask.Response(ca.der, content_type=DER_TYPE)
    return public(response, f"ca-{ca.key_identifier.hex()}", CERTIFICATE_AGE)


@blp.get("/publications/crl/<string:file>")
@for_everyone
@refuses(NotPublished)
@not_modified
@blp.response(200, BYTES, content_type="application/pkix-crl", headers=CACHED)
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
@blp.response(200, BYTES, content_type=DER_TYPE, headers=CACHED)
@blp.doc(responses={"200": {"content": {PEM_TYPE: {"schema": BYTES}}}})
def download_published_certificate(file: str) -> flask.Response:
    """Return the certificate of the issuing CA, of one above, or a cross certificate; as NAME.pem the same in PEM.

    The gateway serves them by plain HTTP as /root/.
    """
    publication = request.deps(Deps).publication
    if file == publication.certificate_file:
        return _ca_certificate()
    if not file.endswith(".pem"):
        return _given(publication.read(file, ".crt"), DER_TYPE, CERTIFICATE_AGE)
    der = file.removesuffix("pem") + "crt"
    content = request.deps(Deps).ca.der if der == publication.certificate_file else publication.read(der, ".crt")
    return _given(pem([x509.load_der_x509_certificate(content)]), PEM_TYPE, CERTIFICATE_AGE)


def _given(content: bytes, media_type: str, age: timedelta) -> flask.Response:
    """Return a file that a CA above has given for publication."""
    return public(flask.Response(content, content_type=media_type), etag_of(content), age)

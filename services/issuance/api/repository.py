"""Views of the repository: accepted certificates by server name, serial number or SRN, and their files."""

from typing import Any, Final

import flask

from services.issuance import certificate_store, repository_store
from services.issuance.api.blueprint import Deps, blp
from services.issuance.api.files import CACHED, attached, in_any_form, not_modified, public
from services.issuance.certificate_forms import certificate_file
from services.issuance.publication import CERTIFICATE_AGE, NotPublished
from services.issuance.repository_store import Listed
from services.issuance.schemas import RepositoryPageSchema, RepositoryQuery, RepositoryQuerySchema
from shared.pki.names import base_name, certificate_names, unicode_name
from shared.pki.serials import SerialUnreadable, read_serial
from shared.web import request
from shared.web.openapi import for_everyone, refuses

_CACHE: Final = "public, max-age=60"


@blp.get("/repository/certificates")
@for_everyone
@blp.arguments(RepositoryQuerySchema, location="query")
@blp.response(200, RepositoryPageSchema)
def search_certificates(query: RepositoryQuery) -> Any:
    """Return a page of accepted certificates, newest first: by server name, serial number or SRN.

    A server name also finds the wildcard certificates that cover it, and may be written in A-labels or U-labels.
    """
    with request.transaction() as tx:
        # One more than wanted: then there is another page.
        after, limit = query.after, query.limit + 1
        if query.serial is not None:
            found = repository_store.find_listed(tx.conn, query.serial)
        elif query.srn is not None:
            found = repository_store.find_of_srn(tx.conn, query.srn, after=after, limit=limit)
        else:
            found = repository_store.find_of_names(
                tx.conn, _ordered_names(query.server_name or ""), after=after, limit=limit
            )
    shown = [_shown(each) for each in found[: query.limit]]
    following = shown[-1]["serial"] if len(found) > query.limit else None
    return {"certificates": shown, "next": following}, {"Cache-Control": _CACHE}


@blp.get("/repository/certificates/<string:serial>/<string:form>")
@for_everyone
@refuses(NotPublished)
@not_modified
@in_any_form(headers=CACHED)
def download_accepted_certificate(serial: str, form: str) -> flask.Response:
    """Return an accepted certificate: `der`, `pem`, `chain` (PEM) or `pkcs7` (certs-only).

    Revoked and expired certificates stay.
    """
    with request.transaction() as tx:
        found = certificate_store.find_by_serial(tx.conn, _canonical(serial))
    if found is None or not repository_store.is_published(found):
        raise NotPublished("there is no such certificate")
    file = certificate_file(found.der, request.deps(Deps).ca, form, stem=found.serial)
    return public(attached(file), file.etag, CERTIFICATE_AGE)


def _canonical(serial: str) -> str:
    try:
        return read_serial(serial)
    except SerialUnreadable as error:
        raise NotPublished("there is no such certificate") from error


def _ordered_names(name: str) -> list[str]:
    """Return the names that can have been ordered in a certificate that covers this one."""
    if base_name(name):
        return [name]
    # A wildcard's certificate has its base name, too.
    return [name, f"*.{name}", f"*.{name.partition('.')[2]}"]


def _shown(listed: Listed) -> dict[str, Any]:
    names = certificate_names(listed.server_names)
    return vars(listed) | {
        "sha256": listed.sha256.hex(),
        "server_names": names,
        "unicode_names": [unicode_name(name) for name in names],
    }

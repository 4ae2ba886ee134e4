"""View of the suggested window in which a certificate is to be replaced (RFC 9773), for everybody."""

from datetime import timedelta
from typing import Any, Final

from services.issuance import certificate_store
from services.issuance.api.blueprint import Deps, blp
from services.issuance.certificate_ids import NoCertificateId, serial_of
from services.issuance.publication import NotPublished
from services.issuance.schemas import RenewalInfoSchema
from shared.pki.suggested_windows import suggested_window
from shared.web import request
from shared.web.openapi import for_everyone, refuses

# When a client is to ask again (RFC 9773, 4.3.1): often enough to follow an incident, whose shortest deadline is a day.
ASK_AGAIN: Final = timedelta(hours=6)
_HEADERS: Final = {
    "Retry-After": {"description": "Seconds until the next question", "schema": {"type": "integer"}},
    "Cache-Control": {"description": "How long the answer may be kept", "schema": {"type": "string"}},
}


@blp.get("/renewal-info/<string:certificate_id>")
@for_everyone
@refuses(NotPublished)
@blp.response(200, RenewalInfoSchema, headers=_HEADERS)
def show_renewal_info(certificate_id: str) -> Any:
    """Return when to replace a certificate: `renewalInfo` of ACME (RFC 9773), by its identifier (4.1).

    A revoked certificate has a window in the past: replace it at once.
    """
    try:
        serial = serial_of(certificate_id, request.deps(Deps).ca.key_identifier)
    except NoCertificateId as error:
        raise NotPublished("there is no such certificate") from error
    with request.transaction() as tx:
        found = certificate_store.find_by_serial(tx.conn, serial)
    if found is None or not found.given_out:
        raise NotPublished("there is no such certificate")
    window = suggested_window(found.not_before, found.not_after, found.revoked_at)
    seconds = int(ASK_AGAIN.total_seconds())
    return {"window": window}, {"Retry-After": f"{seconds}", "Cache-Control": "public, max-age=300"}

"""Verification of draft tickets, application's statements about drafts.

identity knows no renewals: without a ticket an AR could get an attestation for a document that names another
subscriber's renewal, or for bytes that application would refuse.
"""

import hashlib
from datetime import datetime
from typing import Final

from services.identity.refusals import TicketFault, TicketRefused
from shared.security.tokens import KeySet, TokenExpired, TokenKind, TokenRefused, verify
from shared.vocabulary import RenewalId
from shared.web.auth import Caller

ISSUER: Final = "application"


def check(
    ticket: str | None, *, renewal_id: RenewalId, document: bytes, caller: Caller, keys: KeySet, now: datetime
) -> None:
    """Require application's ticket for this document of the caller's draft. Raises TicketRefused."""
    if not ticket:
        raise TicketRefused(TicketFault.MISSING)
    try:
        claims = verify(ticket, kind=TokenKind.DRAFT_TICKET, keys=keys, now=now, issuer=ISSUER)
    except TokenExpired as expired:
        raise TicketRefused(TicketFault.EXPIRED) from expired
    except TokenRefused as refused:
        raise TicketRefused(TicketFault.INVALID) from refused
    if (claims.get("sub"), claims.get("subscriber_id")) != (caller.ar_id, caller.subscriber_id):
        raise TicketRefused(TicketFault.OTHER_PERSON)
    if claims.get("renewal_id") != str(renewal_id):
        raise TicketRefused(TicketFault.OTHER_RENEWAL)
    if claims.get("document_sha256") != hashlib.sha256(document).hexdigest():
        raise TicketRefused(TicketFault.OTHER_DOCUMENT)

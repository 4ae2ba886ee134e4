"""Draft tickets: application's word that a draft is one AR's, and which document belongs to it.

identity knows no renewals. Without a ticket any AR could have a document attested that names somebody else's renewal,
or one that application would refuse afterwards because its bytes differ.
"""

from services.application.domain import Renewal, RenewalState
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.tx import Tx

ISSUER = "application"


def issue(tx: Tx, renewal: Renewal, *, key: SigningKey) -> str | None:
    """Return a ticket for the draft's own AR; None when the renewal can no longer be submitted."""
    if renewal.state is not RenewalState.DRAFT or renewal.submit_before <= tx.now:
        return None
    claims = {
        "sub": renewal.ar_id,
        "subscriber_id": renewal.subscriber_id,
        "renewal_id": str(renewal.id),
        "document_sha256": renewal.document_sha256,
    }
    return sign(claims, kind=TokenKind.DRAFT_TICKET, key=key, now=tx.now, issuer=ISSUER)

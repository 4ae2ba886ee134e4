"""Draft tickets: application's signed statement that a document is a draft of an AR.

identity knows no renewals. Without a ticket an AR could get an attestation for a document that names another's renewal,
or for one that application would refuse because its bytes differ.
"""

from services.application.domain import Renewal, RenewalState
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.tx import Tx

ISSUER = "application"


def issue(tx: Tx, renewal: Renewal, *, key: SigningKey) -> str | None:
    """Return a ticket for the draft's AR; None if the renewal can no longer be submitted."""
    if renewal.state is not RenewalState.DRAFT or renewal.submit_before <= tx.now:
        return None
    claims = {
        "sub": renewal.ar_id,
        "subscriber_id": renewal.subscriber_id,
        "renewal_id": str(renewal.id),
        "document_sha256": renewal.document_sha256,
    }
    return sign(claims, kind=TokenKind.DRAFT_TICKET, key=key, now=tx.now, issuer=ISSUER)

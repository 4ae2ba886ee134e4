"""Sessions that ended before their access token expires; the portal checks them before it shows a signed-in page."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.identity import certificates, one_time_store, revocation, store
from services.identity.certificates import Trust
from shared import audit
from shared.pki.crls import RevocationUnknown
from shared.security.tokens import TokenRefused
from shared.tx import Tx


def end(tx: Tx, claims: Mapping[str, Any]) -> None:
    """End the session of the access token with these claims. Repeating it changes nothing."""
    expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    if one_time_store.end_session(tx.conn, str(claims["jti"]), expires_at, tx.now):
        audit.record(tx, actor=str(claims["sub"]), action="signed-out", subject=str(claims["subscriber_id"]))


def require_open(tx: Tx, claims: Mapping[str, Any], *, trust: Trust) -> None:
    """Require that the session has not ended, and that no CRL lists its e-Cert. Raises TokenRefused.

    The e-Cert was cleared at the sign-in, minutes ago: a session outlasts a CRL that cannot be used meanwhile.
    """
    issued_at = datetime.fromtimestamp(int(claims["iat"]), UTC)
    if one_time_store.has_ended(tx.conn, str(claims["jti"]), issued_at):
        raise TokenRefused("the session was ended")
    der = store.find_certificate(tx.conn, str(claims["certificate_sha256"]))
    with contextlib.suppress(RevocationUnknown):
        if der is not None and revocation.is_listed(tx, certificates.read(der), trust=trust):
            raise TokenRefused("the e-Cert of this session is revoked or suspended")

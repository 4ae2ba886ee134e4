"""Sessions that ended before their access token expires; the portal checks them before it shows a signed-in page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.identity import one_time_store
from shared import audit
from shared.security.tokens import TokenRefused
from shared.tx import Tx


def end(tx: Tx, claims: Mapping[str, Any]) -> None:
    """End the session of the access token with these claims. Repeating it changes nothing."""
    expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    if one_time_store.end_session(tx.conn, str(claims["jti"]), expires_at, tx.now):
        audit.record(tx, actor=str(claims["sub"]), action="signed-out", subject=str(claims["subscriber_id"]))


def require_open(tx: Tx, claims: Mapping[str, Any]) -> None:
    """Require that the session has not ended. Raises TokenRefused."""
    issued_at = datetime.fromtimestamp(int(claims["iat"]), UTC)
    if one_time_store.has_ended(tx.conn, str(claims["jti"]), issued_at):
        raise TokenRefused("the session was ended")

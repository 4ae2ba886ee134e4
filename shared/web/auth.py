"""Authentication by identity's access token, verified with its public key, without a call."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import Refused
from shared.security.tokens import KeySet, TokenKind, TokenRefused, verify
from shared.vocabulary import ARId, SubscriberId


class Unauthenticated(TokenRefused):
    """The request has no access token."""

    reason = "unauthenticated"


class SignInTooOld(Refused):
    """The AR signed in too long ago for this operation: they sign in with the e-Cert again (RFC 9470)."""

    reason = "sign-in-again"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A signed-in AR."""

    ar_id: ARId
    subscriber_id: SubscriberId
    certificate_sha256: str
    # When organisation and authority were verified, as in the register at sign-in; None if that is not known. Who
    # the caller is does not depend on them: an authorisation to pay has none.
    organisation_verified_at: datetime | None = field(default=None, compare=False)
    authority_verified_at: datetime | None = field(default=None, compare=False)
    # When the access token was issued: at every sign-in with the e-Cert, and never without one (ADR 0077).
    signed_in_at: datetime | None = field(default=None, compare=False)


def claims_of(authorization: str | None, *, keys: KeySet, now: datetime) -> dict[str, Any]:
    """Return the claims of the access token in the Authorization header (RFC 6750, 2.1).

    Raises Unauthenticated or TokenRefused.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("a Bearer token is needed")
    return verify(token.strip(), kind=TokenKind.ACCESS, keys=keys, now=now, issuer="identity")


def caller_of(authorization: str | None, *, keys: KeySet, now: datetime) -> Caller:
    """Return the caller named by the Authorization header. Raises Unauthenticated or TokenRefused."""
    claims = claims_of(authorization, keys=keys, now=now)
    try:
        if claims["role"] != "ar":
            raise TokenRefused("not an AR's token")
        return Caller(
            ar_id=ARId(str(claims["sub"])),
            subscriber_id=SubscriberId(str(claims["subscriber_id"])),
            certificate_sha256=str(claims["certificate_sha256"]),
            organisation_verified_at=_time(claims.get("organisation_verified_at")),
            authority_verified_at=_time(claims.get("authority_verified_at")),
            signed_in_at=datetime.fromtimestamp(claims["iat"], UTC),
        )
    except KeyError as error:
        raise TokenRefused("a claim is missing") from error
    except ValueError as error:
        raise TokenRefused("a claim is no time") from error


def require_recent_sign_in(caller: Caller, *, max_age: timedelta, now: datetime) -> None:
    """Require a sign-in with the e-Cert at most `max_age` ago. Raises SignInTooOld."""
    if caller.signed_in_at is None or caller.signed_in_at < now - max_age:
        raise SignInTooOld("sign in with the e-Cert again, then repeat the request")


def _time(claim: object) -> datetime | None:
    """Return a time in ISO 8601. Raises ValueError, for one without a zone, too."""
    if claim is None:
        return None
    found = datetime.fromisoformat(str(claim))
    if found.tzinfo is None:
        raise ValueError("no zone")
    return found

"""Tokens of the desk: one member of staff, one action, one service, valid for a minute."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Final, TypeVar, cast

import flask

from shared.errors import Refused
from shared.operators.proposals import DESK_ACTOR
from shared.security.tokens import KeySet, SigningKey, TokenKind, TokenRefused, sign, verify
from shared.web import openapi, request
from shared.web.auth import Unauthenticated

ISSUER: Final = "desk"
View = TypeVar("View", bound=Callable[..., Any])


class ActionRefused(Refused):
    """The token is valid, but for another action or another service."""

    reason = "action-refused"


@dataclass(frozen=True, kw_only=True)
class Staff:
    """A member of staff, as the desk attests. `id` is the person, whatever certificates they have."""

    id: str
    name: str
    certificate_sha256: str

    @property
    def actor(self) -> str:
        """The actor in the audit log."""
        return f"{DESK_ACTOR}{self.id}"


def token(staff: Staff, *, service: str, action: str, key: SigningKey, now: datetime) -> str:
    """Return the desk's token for one request."""
    claims = {
        "sub": staff.id,
        "name": staff.name,
        "certificate_sha256": staff.certificate_sha256,
        "service": service,
        "action": action,
    }
    return sign(claims, kind=TokenKind.STAFF, key=key, now=now, issuer=ISSUER)


def staff_of(authorization: str | None, *, service: str, action: str, keys: KeySet, now: datetime) -> Staff:
    """Verify the Authorization header. Returns the member of staff.

    Raises Unauthenticated, TokenRefused or ActionRefused.
    """
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise Unauthenticated("the desk's token is needed")
    claims = verify(given.strip(), kind=TokenKind.STAFF, keys=keys, now=now, issuer=ISSUER)
    try:
        if (claims["service"], claims["action"]) != (service, action):
            raise ActionRefused(f"this token is not for {action} at {service}")
        return Staff(
            id=str(claims["sub"]), name=str(claims["name"]), certificate_sha256=str(claims["certificate_sha256"])
        )
    except KeyError as error:
        raise TokenRefused("a claim is missing") from error


def current() -> Staff:
    """Return the member of staff of this request."""
    return cast(Staff, flask.g.staff)


def operation(action: str) -> Callable[[View], View]:
    """Decorate a view that requires the desk's token for this action."""

    def guard(view: View) -> View:
        @wraps(view)
        def run(*args: Any, **kwargs: Any) -> Any:
            made = request.runtime()
            flask.g.staff = staff_of(
                flask.request.headers.get("Authorization"),
                service=made.service,
                action=action,
                keys=made.keys,
                now=made.clock(),
            )
            return view(*args, **kwargs)

        run.action = action  # type: ignore[attr-defined]  # for whoever compares the tables
        return openapi.refuses(ActionRefused)(openapi.by_staff(cast(View, run)))

    return guard

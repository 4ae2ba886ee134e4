"""Problem details for HTTP APIs (RFC 9457): the only shape in which an error leaves a service."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from shared.errors import Refused, Unavailable
from shared.parsing import TooCostly
from shared.tokens import TokenRefused

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """How one kind of failure looks from outside. `slug` is stable: clients decide by it."""

    status: HTTPStatus
    slug: str
    title: str
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The problem's URN."""
        return f"urn:ecert:problem:{self.slug}"

    def body(self, detail: str | None, **extensions: Any) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {"type": self.type, "title": self.title, "status": int(self.status)}
        if detail:
            document["detail"] = detail
        return document | {name: value for name, value in extensions.items() if value is not None}


ProblemTable = Mapping[type[Exception], Problem]

INTERNAL: Final = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side")
UNAVAILABLE: Final = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Try again later", retry_after=5)
INVALID: Final = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The request is not valid")
MALFORMED: Final = Problem(HTTPStatus.BAD_REQUEST, "malformed-request", "The request cannot be read")

COMMON: Final[ProblemTable] = {
    TokenRefused: Problem(HTTPStatus.UNAUTHORIZED, "token-refused", "The token is not valid or has expired"),
    Unavailable: UNAVAILABLE,
    TooCostly: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, TooCostly.reason, "What was sent takes too long to read: send another one"
    ),
    Refused: Problem(HTTPStatus.BAD_REQUEST, "refused", "The request was refused"),
}


def find(table: ProblemTable, error: Exception) -> Problem | None:
    """The problem of the nearest class of `error` in the service's table, then in the common one."""
    for known in (table, COMMON):
        for kind in type(error).__mro__:
            if kind in known:
                return known[kind]
    return None

"""Problem details for HTTP APIs (RFC 9457): the only form in which an error leaves a service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from shared.errors import Refused, Unavailable
from shared.security.tokens import TokenRefused
from shared.validation.parsing_pool import TooCostly

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """A kind of failure as clients see it. `slug` is stable: clients decide by it.

    `members` are further members of the document, each with its JSON Schema.
    """

    status: HTTPStatus
    slug: str
    title: str
    retry_after: int | None = None
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    @property
    def type(self) -> str:
        """The problem's URN."""
        return f"urn:ecert:problem:{self.slug}"

    def body(self, detail: str | None, **extensions: Any) -> dict[str, Any]:
        """Return the problem document."""
        document: dict[str, Any] = {"type": self.type, "title": self.title, "status": int(self.status)}
        if detail:
            document["detail"] = detail
        return document | {name: value for name, value in extensions.items() if value is not None}


ProblemTable = Mapping[type[Exception], Problem]

INTERNAL: Final = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error")
UNAVAILABLE: Final = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable", retry_after=5)
INVALID: Final = Problem(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid-request",
    "Invalid request",
    members={"errors": {"type": "object", "description": "What is wrong, by part of the request and field"}},
)
MALFORMED: Final = Problem(HTTPStatus.BAD_REQUEST, "malformed-request", "Malformed request")
TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-entity-too-large", "Request body larger than 256 KiB"
)
HEADERS_TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request-header-fields-too-large", "Request headers too long"
)

COMMON: Final[ProblemTable] = {
    TokenRefused: Problem(HTTPStatus.UNAUTHORIZED, "token-refused", "Access token invalid or expired"),
    Unavailable: UNAVAILABLE,
    TooCostly: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, TooCostly.reason, "Input takes too long to parse"),
    Refused: Problem(HTTPStatus.BAD_REQUEST, "refused", "Request refused"),
}


def find(table: ProblemTable, error: Exception) -> Problem | None:
    """Return the problem of the nearest class of `error`: in the service's table, then in the common one."""
    return _nearest(table, type(error))


def of_kind(table: ProblemTable, kind: type[Exception]) -> Problem:
    """Return the problem of failures of this class. Raises LookupError if there is none."""
    if (problem := _nearest(table, kind)) is None:
        raise LookupError(f"{kind.__name__} is in no table of problems")
    return problem


def _nearest(table: ProblemTable, kind: type[Exception]) -> Problem | None:
    for known in (table, COMMON):
        for each in kind.__mro__:
            if each in known:
                return known[each]
    return None


def one_of(values: Iterable[str], description: str) -> dict[str, Any]:
    """Return a member's schema: one of these texts."""
    return {"type": "string", "enum": sorted(set(values)), "description": description}


def names(description: str) -> dict[str, Any]:
    """Return a member's schema: a list of texts."""
    return {"type": "array", "items": {"type": "string"}, "description": description}

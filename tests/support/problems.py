"""Problem answers: what a test compares of an HTTP error, once its document was checked."""

from typing import Any, Final

from werkzeug.test import TestResponse

_PREFIX: Final = "urn:ecert:problem:"


def problem(answer: TestResponse) -> tuple[int, str]:
    """Return status and slug of an answer that must be a problem document."""
    return answer.status_code, slug(answer)


def full_problem(answer: TestResponse) -> tuple[int, str, str | None]:
    """Return status, slug and reason of an answer that must be a problem document."""
    return *problem(answer), _document(answer).get("reason")


def slug(answer: TestResponse) -> str:
    """Return the slug of an answer that must be a problem document."""
    return str(_document(answer)["type"]).removeprefix(_PREFIX)


def _document(answer: TestResponse) -> dict[str, Any]:
    assert answer.mimetype == "application/problem+json", answer.text
    document: dict[str, Any] = answer.get_json()
    assert document["status"] == answer.status_code
    assert document["type"].startswith(_PREFIX)
    assert document["title"]
    assert document["request_id"] == answer.headers["X-Request-Id"]
    return document

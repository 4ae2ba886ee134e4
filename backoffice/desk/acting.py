"""Audited call of a service's operator API: one audit record before the call and one after it.

The service records the change itself. So a crash of the desk between request and answer leaves a trace on both sides.
"""

import re
import uuid
from typing import Any, Final

import flask

from backoffice.desk import web
from backoffice.desk.operators import OperatorAPIUnavailable, Refusal
from backoffice.desk.roles import Action
from shared import audit

REASON_LENGTH: Final = 500
_ONCE: Final = re.compile(r"[0-9a-f]{32}")


class Invalid(Exception):
    """Form fields that cannot be used, each with what to do about it."""

    def __init__(self, **errors: str) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


def form_errors(problem: Invalid | Refusal, form: str) -> dict[str, str]:
    """Return the texts beside the fields of one of a page's forms: what is wrong, or why the service refused."""
    errors = problem.errors if isinstance(problem, Invalid) else {"reason": web.words_of(problem)}
    return {f"{form}-{field}": text for field, text in errors.items()}


def _reason() -> str:
    """Return the form's reason. Raises Invalid if it is missing or too long."""
    given = web.given(flask.request.form, "reason", longest=2 * REASON_LENGTH)
    if not given:
        raise Invalid(reason="Say why; it is kept with your name")
    if len(given) > REASON_LENGTH:
        raise Invalid(reason=f"Say it in {REASON_LENGTH} characters; all of it is kept")
    return given


def have_done(service: str, path: str, action: Action, *, subject: str, **body: Any) -> Any:
    """Call an operator API in the name of the signed-in member of staff, with the form's reason.

    Resubmitting the same form changes nothing. Returns the answer. Raises Invalid before the call, Refusal, or
    OperatorAPIUnavailable if it is unknown whether the service acted.
    """
    body["reason"] = _reason()
    # The path names the event or proposal, and whether a proposal was approved or rejected.
    about: dict[str, audit.Detail] = {"service": service, "path": path}
    _note(f"{action}-asked", subject, about | {name: str(value) for name, value in body.items()})
    try:
        answer = web.deps().operators.post(service, path, action, web.member(), key=_key(), **body)
    except Refusal as refusal:
        _note(f"{action}-refused", subject, about | {"problem": refusal.slug})
        raise
    except OperatorAPIUnavailable:
        _note(f"{action}-unanswered", subject, about)
        raise
    _note(f"{action}-done", subject, about)
    return answer


def _key() -> str:
    given = flask.request.form.get("once", "")
    return given if _ONCE.fullmatch(given) else uuid.uuid4().hex


def _note(action: str, subject: str, details: dict[str, audit.Detail]) -> None:
    with web.transaction() as tx:
        audit.record(tx, actor=web.member().id, action=action, subject=subject, details=details)

"""A member of staff has something done by a service: asked for, and how it ended, are audit records of the desk's own.

The service keeps the record of the change itself. So though the desk fall between asking and hearing the answer, what
was asked by whom is here, and whether it was done is there.
"""

import re
import uuid
from typing import Any, Final

import flask

from backoffice.desk import web
from backoffice.desk.operators import OperatorsAway, Refusal
from backoffice.desk.roles import Action
from shared import audit

REASON_LENGTH: Final = 500
_ONCE: Final = re.compile(r"[0-9a-f]{32}")


class Invalid(Exception):
    """What the form says cannot be used: field → what to do."""

    def __init__(self, **errors: str) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


def reason() -> str:
    """The form's reason. Raises Invalid without one, or if it is longer than is kept."""
    given = web.given(flask.request.form, "reason", longest=2 * REASON_LENGTH)
    if not given:
        raise Invalid(reason="Say why; it is kept with your name")
    if len(given) > REASON_LENGTH:
        raise Invalid(reason=f"Say it in {REASON_LENGTH} characters; all of it is kept")
    return given


def have_done(service: str, path: str, action: Action, *, subject: str, **body: Any) -> Any:
    """Have a service do it for whoever is at the desk; a second click on the same form changes nothing.

    Raises Refusal, or OperatorsAway when nobody knows whether it was done.
    """
    # The path says of which event or proposal, and whether a proposal was confirmed or turned down.
    about: dict[str, audit.Detail] = {"service": service, "path": path}
    _note(f"{action}-asked", subject, about | {name: str(value) for name, value in body.items()})
    try:
        answer = web.deps().operators.post(service, path, action, web.member(), key=_key(), **body)
    except Refusal as refusal:
        _note(f"{action}-refused", subject, about | {"problem": refusal.slug})
        raise
    except OperatorsAway:
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

"""Files in answers: what everybody may keep in a cache, and the forms of certificates."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar

import flask

from services.issuance.api.blueprint import blp
from services.issuance.certificate_forms import DER_TYPE, FORMS, CertificateFile

View = TypeVar("View", bound=Callable[..., Any])

BYTES: Final = {"type": "string", "format": "binary"}
CACHED: Final = {"ETag": {"required": True, "schema": {"type": "string"}}}
not_modified = blp.alt_response(HTTPStatus.NOT_MODIFIED, description="Unchanged since the `ETag` in `If-None-Match`")


def in_any_form(*, headers: dict[str, Any]) -> Callable[[View], View]:
    """Document an answer that has the media type of the requested form."""
    content = {media_type.partition(";")[0]: {"schema": BYTES} for media_type, _ in FORMS.values()}

    def mark(view: View) -> View:
        answer = blp.response(200, BYTES, content_type=DER_TYPE, headers=headers)(view)
        documented: View = blp.doc(responses={"200": {"content": content}})(answer)
        return documented

    return mark


def attached(file: CertificateFile) -> flask.Response:
    """Return a file that browsers save."""
    response = flask.Response(file.content, content_type=file.media_type)
    response.headers.set("Content-Disposition", "attachment", filename=file.name)
    return response


def public(response: flask.Response, etag: str, age: timedelta) -> flask.Response:
    """Return the answer with its strong validator, or 304 if the client has it; any cache may keep it for `age`."""
    response.set_etag(etag)
    response.cache_control.public = True
    response.cache_control.max_age = int(age.total_seconds())
    response.make_conditional(flask.request)
    return response

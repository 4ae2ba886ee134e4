"""Decorators for POSTs that change state: repeated with the same Idempotency-Key, they return the first answer."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

import flask

from shared.db import UNAVAILABLE
from shared.tx import Tx
from shared.web import idempotency, openapi
from shared.web.idempotency import Answer, KeyedRequest, KeyInUse, KeyMissing, KeyReused
from shared.web.problems import Problem, ProblemTable
from shared.web.request import runtime, transaction

_KEY: Final = re.compile(r"[\x21-\x7e]{8,200}")
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "One for each thing you want done: the same key and body get the same answer",
    "schema": {"type": "string", "minLength": 8, "maxLength": 200, "pattern": "^[!-~]+$"},
}

PROBLEMS: Final[ProblemTable] = {
    KeyMissing: Problem(HTTPStatus.BAD_REQUEST, KeyMissing.reason, "Idempotency-Key header missing"),
    KeyInUse: Problem(
        HTTPStatus.CONFLICT, KeyInUse.reason, "Request with this Idempotency-Key in progress", retry_after=1
    ),
    KeyReused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, KeyReused.reason, "Idempotency-Key already used for another request"
    ),
}

View = TypeVar("View", bound=Callable[..., Any])


def in_one_transaction(view: View) -> View:
    """Decorate a POST that changes state in one transaction, `tx()`.

    The answer is stored in the transaction of the change, so both exist or neither. A refused request changes nothing,
    and is checked again when it is repeated.
    """

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> flask.Response:
        keyed = _read_keyed()
        with transaction() as tx:
            if (earlier := idempotency.find(tx.conn, keyed)) is not None:
                return _replay(earlier)
            flask.g.tx = tx
            response = flask.make_response(view(*args, **kwargs))
            _save(tx, keyed, response)
            return response

    return _documented(cast(View, run))


def in_several_transactions(view: View) -> View:
    """Decorate a POST that opens short transactions of its own, because it calls another system in between.

    The key is claimed before the first transaction, so of two simultaneous requests with one key exactly one runs; the
    answer is stored after the last one. A failed request releases the key.
    """

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> flask.Response:
        keyed = _read_keyed()
        with transaction() as tx:
            if (earlier := idempotency.find(tx.conn, keyed)) is not None:
                return _replay(earlier)
            until = idempotency.begin(tx.conn, keyed, now=tx.now)
        try:
            response = flask.make_response(view(*args, **kwargs))
        except BaseException:
            with suppress(*UNAVAILABLE), transaction() as tx:
                idempotency.end(tx.conn, keyed, until=until)
            raise
        with transaction() as tx:
            if idempotency.end(tx.conn, keyed, until=until):
                _save(tx, keyed, response)
        return response

    return _documented(cast(View, run))


def tx() -> Tx:
    """Return the transaction of a view that is decorated with `in_one_transaction`."""
    return cast(Tx, flask.g.tx)


def _documented(view: View) -> View:
    """Return the view with its Idempotency-Key and the refusals about it in the OpenAPI document."""
    openapi.add_parameter(view, _KEY_PARAMETER)
    return openapi.refuses(KeyMissing, KeyInUse, KeyReused)(view)


def _read_keyed() -> KeyedRequest:
    account = runtime().account()
    key = flask.request.headers.get("Idempotency-Key")
    if key is None or not _KEY.fullmatch(key):
        raise KeyMissing("send an Idempotency-Key of 8 to 200 visible ASCII characters")
    request = flask.request
    fingerprint = runtime().fingerprints.of(request.method, request.full_path, request.get_data())
    return KeyedRequest(account=account, key=key, fingerprint=fingerprint)


def _save(tx: Tx, keyed: KeyedRequest, response: flask.Response) -> None:
    if response.status_code < HTTPStatus.BAD_REQUEST:
        answer = Answer(
            status=response.status_code, body=response.get_data(), media_type=response.content_type or "text/plain"
        )
        idempotency.save(tx.conn, keyed, answer, now=tx.now)


def _replay(answer: Answer) -> flask.Response:
    response = flask.make_response(answer.body, answer.status)
    response.headers["Content-Type"] = answer.media_type
    return response

"""A service of one resource on the plumbing's own tables; `python -m …small_service DATABASE_URL` serves it at BIND."""

import contextlib
import sys
import time
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import flask
from cryptography.hazmat.primitives.asymmetric import ec
from marshmallow import Schema, fields

from shared import audit, db
from shared.db import Pool
from shared.errors import Refused, Unavailable
from shared.security.tokens import KeySet, SigningKey
from shared.settings import read_admin, read_env, read_web, seal
from shared.web import commands, gunicorn_server, request
from shared.web.app import create_app
from shared.web.openapi import Blueprint, refuses, signed_in
from shared.web.problems import Problem, ProblemTable
from tests.support.builders import FINGERPRINTS

# The same in every process, so that a test can sign tokens for a server that it started.
KEY: Final = SigningKey(key=ec.derive_private_key(20261123, ec.SECP256R1()), kid="test")
KEYS: Final = KeySet(keys={KEY.kid: KEY.key.public_key()})

blp = Blueprint("small", __name__)


class NoteSchema(Schema):
    """Fields of a note."""

    text = fields.String(required=True)
    seconds = fields.Float(load_default=0.0)


class NotedSchema(Schema):
    """A note that was made."""

    id = fields.UUID(required=True)
    text = fields.String(required=True)


class TooSad(Refused):
    """The note is refused."""

    reason = "too-sad"


PROBLEMS: Final[ProblemTable] = {TooSad: Problem(HTTPStatus.CONFLICT, TooSad.reason, "The note is too sad")}


@blp.post("/notes")  # type: ignore[untyped-decorator]  # flask-smorest ships no types
@signed_in
@refuses(TooSad)
@commands.in_one_transaction
@blp.arguments(NoteSchema)  # type: ignore[untyped-decorator]
@blp.response(HTTPStatus.CREATED, NotedSchema)  # type: ignore[untyped-decorator]
def make_note(body: Mapping[str, Any]) -> Mapping[str, object]:
    """Write a note into the audit log, taking as long as it says."""
    tx = commands.tx()
    audit.record(tx, actor=request.caller().ar_id, action="noted", subject="note")
    time.sleep(body["seconds"])
    if body["text"] == "sad":
        raise TooSad("cheer up")
    if body["text"] == "fault":
        raise RuntimeError("a secret of ours")
    if body["text"] == "down":
        raise Unavailable("another secret")
    return {"id": tx.new_id(), "text": body["text"]}


@blp.post("/slow-notes")  # type: ignore[untyped-decorator]  # flask-smorest ships no types
@signed_in
@refuses(TooSad)
@commands.in_several_transactions
@blp.arguments(NoteSchema)  # type: ignore[untyped-decorator]
@blp.response(HTTPStatus.CREATED, NotedSchema)  # type: ignore[untyped-decorator]
def make_slow_note(body: Mapping[str, Any]) -> Mapping[str, object]:
    """Write a note in a transaction of its own, after waiting with none open."""
    time.sleep(body["seconds"])
    if body["text"] == "sad":
        raise TooSad("cheer up")
    with request.transaction() as tx:
        audit.record(tx, actor=request.caller().ar_id, action="noted", subject="note")
        return {"id": tx.new_id(), "text": body["text"]}


@blp.get("/notes/<uuid:note_id>")  # type: ignore[untyped-decorator]
@refuses(TooSad)
def show_note(note_id: uuid.UUID) -> Mapping[str, object]:
    """Refuse to show a note."""
    raise TooSad(str(note_id))


def make_app(pool: Pool) -> flask.Flask:
    """Return the app, as a service's main.py builds it."""
    return create_app(
        "small",
        blueprints=[blp],
        problem_table=PROBLEMS,
        pool=pool,
        keys=KEYS,
        fingerprints=FINGERPRINTS,
        deps=None,
    )


if __name__ == "__main__":
    env = read_env()
    told, admin = read_web(env), read_admin(env)
    seal(env)
    with contextlib.ExitStack() as stack:
        gunicorn_server.serve(
            lambda: make_app(stack.enter_context(db.open_pool(sys.argv[1], name="small", wait=1.0))),
            told,
            admin=admin,
            is_ready=lambda: True,
            on_exit=stack.close,
        )

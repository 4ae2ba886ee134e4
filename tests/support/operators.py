"""The operators' APIs as the desk calls them in a test, and their whole table: service, method, path, action."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import flask
from werkzeug.test import TestResponse

from deploy.local import stack
from shared.db import Pool
from shared.operators import operator_api
from shared.operators.operator_api import Operations
from shared.operators.staff import Staff, token
from shared.web.idempotency import FingerprintKey
from tests.support.builders import key_set, signing_key

Route = tuple[str, str, str]
CHEUNG: Final = Staff(id="S1002", name="CHEUNG Kwok Wai 張國偉", certificate_sha256="d4" * 32)
_HELD: Final[tuple[Route, ...]] = (
    ("GET", "held-events", "see-held"),
    ("GET", "held-events/{id}", "see-held"),
    ("POST", "held-events/{id}/redrive", "redrive"),
    ("POST", "held-events/{id}/skip-proposals", "propose-skip"),
    ("POST", "skip-proposals/{uuid}/confirmation", "decide-skip"),
    ("POST", "skip-proposals/{uuid}/rejection", "decide-skip"),
)
_OWN: Final[Mapping[str, tuple[Route, ...]]] = {
    "mailing": (("GET", "batches", "see-batches"), ("POST", "envelopes/{uuid}/return", "mark-returned")),
    "issuance": (("POST", "orders/{uuid}/pins", "reissue-pin"),),
    "identity": (
        ("GET", "register-evidence", "see-evidence"),
        ("POST", "evidence-proposals", "propose-evidence"),
        ("POST", "evidence-proposals/{uuid}/approval", "decide-evidence"),
        ("POST", "evidence-proposals/{uuid}/rejection", "decide-evidence"),
    ),
}
ROUTES: Final[Mapping[str, tuple[Route, ...]]] = {
    each: (_HELD if each in stack.CONSUMING else ()) + _OWN.get(each, ()) for each in stack.OPERATED
}


def path_of(route: Route) -> str:
    """Return an address of this route where nothing is."""
    return f"/operator/v1/{route[1].format(id=12345, uuid=uuid.uuid4())}"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A service's operators' API with its own operations alone, called with the desk's word."""

    service: str
    app: flask.Flask
    now: datetime

    @classmethod
    def of(cls, service: str, operations: Operations, pool: Pool, now: datetime) -> "Desk":
        """Return built as `operate` builds it."""
        app = operator_api.create_app(
            service,
            pool=pool,
            desk_keys=key_set("desk"),
            fingerprints=FingerprintKey(b"f" * 32),
            operations=operations,
            clock=lambda: now,
        )
        return cls(service=service, app=app, now=now)

    def ask(self, method: str, path: str, action: str, *, key: str | None = None, **body: Any) -> TestResponse:
        """Return one request for one member of the mail room."""
        word = token(CHEUNG, service=self.service, action=action, key=signing_key("desk"), now=self.now)
        headers = {"Authorization": f"Bearer {word}", "Idempotency-Key": key or uuid.uuid4().hex}
        json = body if method == "POST" else None
        return self.app.test_client().open(f"/operator/v1/{path}", method=method, headers=headers, json=json)

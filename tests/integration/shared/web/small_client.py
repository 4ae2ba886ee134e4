"""Client of the small service: signed-in requests, and what must be true of every problem that comes back."""

import json
import uuid
from typing import Any, TypeAlias

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db import Pool
from shared.security.tokens import TokenKind, sign
from shared.tx import utc_now
from tests.integration.shared.web.small_service import KEY
from tests.support import problems

Client: TypeAlias = FlaskClient
NOTES = "/small/v1/notes"


def token(ar_id: str = "AR-1") -> str:
    claims = {"sub": ar_id, "subscriber_id": "S-1", "certificate_sha256": "00" * 32, "role": "ar"}
    return sign(claims, kind=TokenKind.ACCESS, key=KEY, now=utc_now(), issuer="identity")


def headers(key: str | None = None, **more: str) -> dict[str, str]:
    given = {"Authorization": f"Bearer {token()}", "Idempotency-Key": key or str(uuid.uuid4())}
    return {**given, "Content-Type": "application/json", **{name.replace("_", "-"): more[name] for name in more}}


def post(client: Client, body: Any, key: str | None = None, **more: str) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(NOTES, data=raw, headers=headers(key, **more))


def problem(response: TestResponse) -> tuple[int, str]:
    """Return status and slug of a problem that gives nothing away."""
    assert "secret" not in response.get_data(as_text=True)
    return problems.problem(response)


def notes(pool: Pool) -> int:
    with pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM audit_log WHERE action = 'noted'").fetchone()
    assert row is not None
    return int(row[0])

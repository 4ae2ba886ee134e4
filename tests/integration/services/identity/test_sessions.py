"""A session that was ended is refused where the portal asks, and no other one."""

import pytest
from flask.testing import FlaskClient

from shared.db import Pool
from tests.integration.services.identity.conftest import CHAN, bearer

SESSION, END = "/identity/v1/session", "/identity/v1/session-ends"


@pytest.mark.usefixtures("enrolled", "current_crls")
def test_ended_session_is_refused_and_others_remain(http: FlaskClient, pool: Pool) -> None:
    ended, other = bearer(http, CHAN), bearer(http, CHAN)
    assert http.get(SESSION, headers=ended).status_code == 204
    assert [http.post(END, headers=ended).status_code for _ in range(2)] == [204, 204]
    refused = http.get(SESSION, headers=ended)
    assert (refused.status_code, refused.get_json()["type"]) == (401, "urn:ecert:problem:token-refused")
    assert http.get(SESSION, headers=other).status_code == 204
    with pool.connection() as conn:
        rows = conn.execute("SELECT actor, subject FROM audit_log WHERE action = 'signed-out'").fetchall()
    assert rows == [("chan", "example")]


def test_ending_a_session_needs_a_token(http: FlaskClient) -> None:
    assert http.post(END).status_code == 401
    assert http.get(SESSION, headers={"Authorization": "Bearer x.y.z"}).status_code == 401

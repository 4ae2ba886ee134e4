"""A session that was ended is refused where the portal asks, and no other one."""

from datetime import timedelta

import pytest
from cryptography import x509
from flask.testing import FlaskClient

from shared.db import Pool
from tests.integration.services.identity.conftest import CHAN, WONG, Clock, bearer, sign_in, take_crls
from tests.unit.services.identity.builders import CRL, NOW, make_crl, world

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


@pytest.mark.usefixtures("enrolled", "current_crls")
@pytest.mark.parametrize("reason", [None, x509.ReasonFlags.certificate_hold])
def test_sessions_of_an_e_cert_end_once_a_crl_lists_it(
    http: FlaskClient, pool: Pool, clock: Clock, reason: x509.ReasonFlags | None
) -> None:
    sessions = [bearer(http, CHAN), bearer(http, CHAN), bearer(http, WONG)]
    listed = CRL(number=2, revoked=(CHAN.certificate.serial_number,), reason=reason)
    take_crls(pool, clock, make_crl(world().sub, listed))
    assert [http.get(SESSION, headers=each).status_code for each in sessions] == [401, 401, 204]


@pytest.mark.usefixtures("enrolled", "current_crls")
def test_session_outlasts_a_crl_that_can_no_longer_be_used(http: FlaskClient, clock: Clock) -> None:
    clock.now = NOW + timedelta(hours=22, minutes=55)
    session = bearer(http, CHAN)
    clock.now += timedelta(minutes=10)
    assert sign_in(http, CHAN).status_code == 503
    assert http.get(SESSION, headers=session).status_code == 204


def test_ending_a_session_needs_a_token(http: FlaskClient) -> None:
    assert http.post(END).status_code == 401
    assert http.get(SESSION, headers={"Authorization": "Bearer x.y.z"}).status_code == 401

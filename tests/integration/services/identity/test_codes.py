"""A sign-in on its way to the portal: a code by redirect, valid once, for the browser that began."""

import base64
import hashlib
import threading
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.identity import enrolment
from shared.db import Pool
from shared.pki.certificates import sha256
from shared.security.tokens import TokenKind, verify
from shared.tx import transaction
from shared.vocabulary import ARId
from shared.web.auth import caller_of
from tests.integration.services.identity.conftest import (
    CHAN,
    KEYS,
    REDIRECT_URIS,
    Clock,
    count,
    e_cert,
    take_crls,
    xfcc,
)
from tests.support.problems import full_problem
from tests.unit.services.identity.builders import CRL, NOW, Holder, make_crl, world

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")

BACK = REDIRECT_URIS[0]
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
STATE = "state/with&odd=signs"
RENEWAL = "0b0d1a7e-8a5e-4f0e-9a43-0d8a5a3f2f11"
GOOD = {"redirect_uri": BACK, "code_challenge": CHALLENGE, "state": STATE}


def ask(http: FlaskClient, *holders: Holder | None, **changes: str | None) -> TestResponse:
    """Ask for a code, with CHAN's e-Cert if no other is said; None leaves a parameter out."""
    (holder,) = holders or (CHAN,)
    query = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return http.get(f"/identity/v1/authorise?{urlencode(query)}", headers=xfcc(holder) if holder else {})


def sent_back(answer: TestResponse, to: str = BACK) -> dict[str, str]:
    """Return the parameters of the redirect to the portal."""
    assert answer.status_code == 303, answer.text
    location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == to
    return {name: value for name, (value,) in parse_qs(location.query, strict_parsing=True).items()}


def code_for(http: FlaskClient, **changes: str | None) -> str:
    return sent_back(ask(http, **changes))["code"]


def redeem(http: FlaskClient, given: str, **changes: str) -> TestResponse:
    body = {"code": given, "code_verifier": VERIFIER, "redirect_uri": BACK, **changes}
    return http.post("/identity/v1/codes", json=body)


def refusals(pool: Pool) -> list[str]:
    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT details ->> 'reason' FROM audit_log WHERE action = 'sign-in-code-refused' ORDER BY id"
        ).fetchall()
    return [row[0] for row in rows]


def test_code_is_exchanged_for_a_token_of_its_ar(http: FlaskClient, pool: Pool) -> None:
    answer = ask(http)
    told = sent_back(answer)
    assert set(told) == {"code", "state"}
    assert told["state"] == STATE
    assert len(told["code"]) == 43
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")

    tokens = redeem(http, told["code"])

    assert tokens.status_code == 200, tokens.text
    assert tokens.json is not None
    assert set(tokens.json) == {"access_token", "token_type", "expires_in"}
    caller = caller_of(f"Bearer {tokens.json['access_token']}", keys=KEYS, now=NOW)
    assert (caller.ar_id, caller.subscriber_id) == ("chan", "example")
    assert caller.certificate_sha256 == sha256(CHAN.certificate)
    with pool.connection() as conn:
        rows = conn.execute("SELECT action, details ->> 'method' FROM audit_log WHERE actor = 'chan' ORDER BY id")
        assert rows.fetchall() == [("sign-in-code-given", None), ("signed-in", "code")]


def test_code_is_not_stored_in_clear(http: FlaskClient, pool: Pool) -> None:
    code = code_for(http)

    with pool.connection() as conn:
        rows = conn.execute("SELECT t::text FROM sign_in_codes t UNION ALL SELECT a::text FROM audit_log a").fetchall()
    assert rows
    assert not any(code in row[0] for row in rows)


def test_code_for_a_renewal_gives_a_checkout_authorisation(http: FlaskClient) -> None:
    tokens = redeem(http, code_for(http, renewal_id=RENEWAL)).json

    assert tokens is not None
    claims = verify(tokens["authorisation"], kind=TokenKind.CHECKOUT, keys=KEYS, now=NOW, issuer="identity")
    assert (claims["sub"], claims["renewal_id"]) == ("chan", RENEWAL)
    assert claims["certificate_sha256"] == sha256(CHAN.certificate)


def test_code_can_be_used_once(http: FlaskClient, pool: Pool) -> None:
    code = code_for(http)
    assert redeem(http, code).status_code == 200

    assert full_problem(redeem(http, code))[:2] == (403, "code-refused")
    assert refusals(pool) == ["used-before"]


def test_concurrent_exchanges_of_one_code_get_one_token(http: FlaskClient) -> None:
    code = code_for(http)
    statuses: list[int] = []

    def change() -> None:
        statuses.append(redeem(http.application.test_client(), code).status_code)

    threads = [threading.Thread(target=change) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [403] * 5


def test_code_expires_after_a_minute(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    in_time, late = code_for(http), code_for(http)
    clock.now = NOW + timedelta(seconds=59)
    assert redeem(http, in_time).status_code == 200

    clock.now = NOW + timedelta(seconds=60)

    assert full_problem(redeem(http, late))[:2] == (403, "code-refused")
    assert refusals(pool) == ["expired"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code_verifier": "w" * 43}, "another-verifier"),
        # What PKCE calls "plain" would let the one through who read the address bar.
        ({"code_verifier": CHALLENGE}, "another-verifier"),
        ({"redirect_uri": REDIRECT_URIS[1]}, "another-redirect-uri"),
    ],
)
def test_code_is_used_up_by_a_failed_exchange(http: FlaskClient, pool: Pool, changes: dict[str, str], why: str) -> None:
    code = code_for(http)

    assert full_problem(redeem(http, code, **changes))[:2] == (403, "code-refused")
    assert full_problem(redeem(http, code))[:2] == (403, "code-refused")
    assert refusals(pool) == [why, "used-before"]


def test_unknown_code_is_refused_without_an_audit_row(http: FlaskClient, pool: Pool) -> None:
    before = count(pool, "audit_log")

    for code in ("x", "x" * 43, "代碼"):
        assert full_problem(redeem(http, code))[:2] == (403, "code-refused")

    assert count(pool, "audit_log") == before


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "v" * 42},
        {"code_verifier": "v" * 129},
        {"code_verifier": "v" * 42 + " "},
        {"code": ""},
        {"code": "x" * 101},
        {"more": "x"},
    ],
)
def test_bad_body_is_a_problem(http: FlaskClient, changes: dict[str, str]) -> None:
    assert full_problem(redeem(http, code_for(http), **changes))[:2] == (422, "invalid-request")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "https://evil.example/signed-in",
        BACK + "/",
        BACK + "?",
        BACK + "?next=/",
        BACK + "#x",
        BACK.replace("https", "http"),
        BACK.upper(),
        BACK + "/../other",
        BACK + "\\@evil.example",
        "javascript:alert(1)",
    ],
)
def test_unlisted_redirect_address_is_refused(http: FlaskClient, pool: Pool, redirect_uri: str | None) -> None:
    answer = ask(http, redirect_uri=redirect_uri)

    assert full_problem(answer)[:2] == (400, "redirect-uri-refused")
    assert "Location" not in answer.headers
    assert count(pool, "sign_in_codes") == 0


def test_two_redirect_addresses_are_refused(http: FlaskClient) -> None:
    query = urlencode(GOOD) + "&" + urlencode({"redirect_uri": BACK})
    answer = http.get(f"/identity/v1/authorise?{query}", headers=xfcc(CHAN))

    assert full_problem(answer)[:2] == (400, "redirect-uri-refused")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None},
        {"code_challenge": "c" * 42},
        {"code_challenge": "c" * 44},
        {"code_challenge": "c" * 42 + "="},
        {"code_challenge_method": "plain"},
        {"renewal_id": "x"},
        {"renewal_id": RENEWAL.upper()},
    ],
)
def test_malformed_request_redirects_with_an_error(
    http: FlaskClient, pool: Pool, changes: dict[str, str | None]
) -> None:
    assert sent_back(ask(http, **changes)) == {"error": "invalid-request", "state": STATE}
    assert count(pool, "sign_in_codes") == 0


@pytest.mark.parametrize("state", [None, "", "short", "s" * 1025, "with a space", "with\nnewline", "狀態狀態狀態狀態"])
def test_too_long_state_is_not_sent_back(http: FlaskClient, state: str | None) -> None:
    assert sent_back(ask(http, state=state)) == {"error": "invalid-request"}


def test_missing_certificate_redirects_with_an_error(http: FlaskClient) -> None:
    assert sent_back(ask(http, None)) == {"error": "client-certificate-missing", "state": STATE}


def test_refused_sign_in_redirects_with_the_reason_and_is_audited(http: FlaskClient, pool: Pool) -> None:
    unknown = e_cert("CHAN Tai Man")
    assert sent_back(ask(http, unknown)) == {"error": "not-enrolled", "state": STATE}
    expired = e_cert("CHAN Tai Man", not_after=NOW - timedelta(seconds=1))
    told = {"error": "certificate-refused", "reason": "certificate-expired", "state": STATE}
    assert sent_back(ask(http, expired)) == told

    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT subject, details ->> 'reason' FROM audit_log WHERE action = 'sign-in-refused' ORDER BY id"
        ).fetchall()
    assert rows == [(sha256(unknown.certificate), "not-enrolled"), (sha256(expired.certificate), "certificate-expired")]


def test_missing_fresh_crl_redirects_with_an_error(http: FlaskClient, clock: Clock) -> None:
    clock.now = NOW + timedelta(hours=23)

    assert sent_back(ask(http)) == {"error": "revocation-unknown", "state": STATE}


def test_unavailable_database_redirects_with_an_error(http: FlaskClient, pool: Pool) -> None:
    pool.close()

    assert sent_back(ask(http)) == {"error": "unavailable", "state": STATE}


def test_e_cert_is_verified_again_when_the_code_is_exchanged(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    code = code_for(http)
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,))))

    assert full_problem(redeem(http, code)) == (403, "certificate-refused", "certificate-revoked")


def test_office_that_ended_before_the_exchange_gets_no_token(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    code = code_for(http)
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left the company", "operator")

    assert full_problem(redeem(http, code))[:2] == (403, "not-enrolled")


def test_expired_codes_are_deleted_when_new_ones_are_made(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    code_for(http)
    clock.now = NOW + timedelta(hours=2)

    code_for(http)

    assert count(pool, "sign_in_codes") == 1

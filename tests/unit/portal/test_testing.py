"""Test my e-Cert: to the sign-in host and back, or by a signature; what was found in words, and nobody signed in."""

from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.unit.portal.stub_api import (
    ITEM,
    PORTAL,
    StubAPI,
    browser,
    full_api,
    held_by,
    portal,
    problem,
    report,
    signed_in,
)

RESULT = ("POST", "/identity/v1/certificate-test-results")
PENDING = {
    "state": "the-state",
    "verifier": "the-verifier",
    "then": "/zh-hant/test-e-cert/result",
    "renewal_id": None,
    "test": True,
}


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def shown(client: FlaskClient, path: str = "/en/test-e-cert/result") -> str:
    client.get("/signed-in?code=c0de&state=the-state", base_url=PORTAL)
    return str(client.get(path, base_url=PORTAL).text)


def test_e_cert_test_requests_a_test_and_no_sign_in(app: Flask) -> None:
    client = browser(app)
    to = urlsplit(client.get("/en/test-e-cert/start", base_url=PORTAL).headers["Location"])
    assert (to.netloc, to.path) == ("signin.ecert.localhost:8443", "/identity/v1/certificate-tests")
    assert set(parse_qs(to.query)) == {"redirect_uri", "code_challenge", "code_challenge_method", "state"}


def test_test_result_is_shown_without_signing_in(app: Flask, api: StubAPI) -> None:
    client = browser(app, pending=PENDING)
    answer = client.get("/signed-in?code=c0de&state=the-state", base_url=PORTAL)
    assert answer.headers["Location"] == "/zh-hant/test-e-cert/result"
    assert [asked.path for asked in api.asked] == ["/identity/v1/certificate-test-results"]
    assert held_by(client)["token"] == ""
    page = client.get("/en/test-e-cert/result", base_url=PORTAL).text
    for text in ("Your e-Cert is ready", "CHAN Mei Ling", "From 25 September 2026 to 24 September 2028", "CA 2 - 17"):
        assert text in page
    assert "Wrong" not in page


def test_every_failed_check_has_a_text(app: Flask, api: StubAPI) -> None:
    faults = {"validity": "certificate-expired", "kind": "certificate-personal", "registration": "not-enrolled"}
    api.answers[RESULT] = report(**faults)
    page = shown(browser(app, pending=PENDING))
    assert "Your e-Cert cannot be used now" in page
    assert page.count(">Wrong<") == 3
    for text in ("has expired", "This is an e-Cert (Personal)", "not registered for online renewal"):
        assert text in page


def test_undecidable_check_is_not_shown_as_failed(app: Flask, api: StubAPI) -> None:
    found = report(issuer="certificate-untrusted", revocation="revocation-unknown")
    found["findings"][5]["made"] = False
    api.answers[RESULT] = found
    page = shown(browser(app, pending=PENDING))
    assert (page.count(">Wrong<"), page.count("Not known")) == (1, 2)


def test_e_cert_test_keeps_the_session(app: Flask) -> None:
    client = signed_in(app, pending=PENDING)
    shown(client)
    assert held_by(client)["token"] == "access"


def test_missing_certificate_leads_back_with_the_reason(app: Flask) -> None:
    client = browser(app, pending=PENDING)
    answer = client.get("/signed-in?error=client-certificate-missing&state=the-state", base_url=PORTAL)
    assert answer.headers["Location"] == "/zh-hant/test-e-cert?problem=client-certificate-missing"
    page = client.get("/en/test-e-cert?problem=client-certificate-missing", base_url=PORTAL)
    assert page.status_code == 422
    assert "Your browser showed no e-Cert" in page.text


def test_page_without_a_result_starts_a_new_test(app: Flask) -> None:
    assert browser(app).get("/en/test-e-cert/result", base_url=PORTAL).headers["Location"] == "/en/test-e-cert"


def test_file_is_tested_by_a_signature_in_the_page(app: Flask, api: StubAPI) -> None:
    client = browser(app, csrf="the-form-token")
    form = {"csrf": "the-form-token", "challenge_id": ITEM, "signature-base64": "MAN4"}
    answer = client.post("/en/test-e-cert/file", data=form, base_url=PORTAL)
    assert answer.headers["Location"] == "/en/test-e-cert/result"
    assert api.asked[-1].body == {"challenge_id": ITEM, "signature": "MAN4"}
    assert "Your e-Cert is ready" in client.get("/en/test-e-cert/result", base_url=PORTAL).text
    assert held_by(client)["token"] == ""


def test_signature_that_is_refused_is_an_error_with_a_new_challenge(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/identity/v1/challenge-tests"] = problem(422, "signature-refused", reason="signature-invalid")
    client = browser(app, csrf="the-form-token")
    form = {"csrf": "the-form-token", "challenge_id": ITEM, "signature-base64": "MAN4"}
    page = client.post("/en/test-e-cert/file", data=form, base_url=PORTAL)
    assert page.status_code == 422
    assert "The signature is not accepted" in page.text

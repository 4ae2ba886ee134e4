"""The portal under attack: each attack by its name."""

import json
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from portal.session import COOKIE
from portal.web import own_path
from tests.unit.portal.page_states import State, states
from tests.unit.portal.stub_api import (
    CERTIFICATE,
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    browser,
    checked,
    full_api,
    held_by,
    order,
    portal,
    problem,
    renewal,
    report,
    signed_in,
)

R = f"/en/renewals/{RENEWAL}"
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
VALUES = {"edition": "en", "renewal_id": RENEWAL, "item_id": ITEM, "version": "2026-11-25", "filename": "portal.css"}


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def addresses(app: Flask, method: str) -> Iterator[str]:
    """Yield every address that takes this method, whatever will be added."""
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or ()):
            yield _filled(rule)


def _filled(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES[found[1]], rule.rule)


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_csp_allows_no_foreign_and_no_inline_content(state: State) -> None:
    answer = state.show("en")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert re.findall(r"<style|<script(?! src=\"/static/)|\sstyle=|\son\w+=|javascript:", answer.text) == []


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_clickjacking_finds_no_page_that_can_be_framed(state: State) -> None:
    headers = state.show("en").headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_pages_are_not_cached_and_not_sniffed(state: State) -> None:
    headers = state.show("en").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"].startswith("max-age=")


def test_cookie_is_host_only_and_http_only(app: Flask) -> None:
    answer = browser(app).get("/en/sign-in/start", base_url=PORTAL)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-portal=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    assert "Expires" not in cookie


def test_cookie_is_encrypted_and_authenticated(app: Flask) -> None:
    client = signed_in(app, csrf="")
    client.get("/en/certificates", base_url=PORTAL)
    cookie = client.get_cookie(COOKIE, domain="portal.ecert.localhost")
    assert cookie is not None
    assert not [secret for secret in ("access", "CHAN", "Harbour") if secret in cookie.value]
    changed = cookie.value[:-8] + "AAAAAAA="
    client.set_cookie(COOKIE, changed, domain="portal.ecert.localhost", secure=True)
    assert client.get("/en/certificates", base_url=PORTAL).status_code == 303


def test_csrf_is_refused_at_every_form(app: Flask, api: StubAPI) -> None:
    posts = list(addresses(app, "POST"))
    assert len(posts) >= 7
    for address in posts:
        for form in ({}, {"csrf": "guessed"}, {"csrf": ""}):
            answer = signed_in(app).post(address, data={"srn": "0002310001", **form}, base_url=PORTAL)
            assert answer.status_code == 403, address
    assert [asked.path for asked in api.asked if asked.method == "POST"] == []


def test_csrf_by_get_changes_nothing(app: Flask, api: StubAPI) -> None:
    for address in addresses(app, "GET"):
        signed_in(app).get(address, base_url=PORTAL, buffered=True)
    changing = [asked.path for asked in api.asked if asked.method == "POST"]
    assert set(changing) <= {"/identity/v1/challenges"}


REDIRECTS = [
    *("https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "/en/..//evil"),
    *("javascript:alert(1)", "", "en", "/signed-in", "/en/\r\nSet-Cookie: x=1", "/env", "/en/@evil.example"),
    *("/en/?next=https://evil.example", "/static/portal.css", "https:evil.example", "/%2f%2fevil.example"),
]


@pytest.mark.parametrize("path", REDIRECTS)
def test_open_redirect_is_limited_to_own_pages(app: Flask, path: str) -> None:
    assert own_path(path) is None
    client = browser(app)
    client.get("/en/sign-in/start", query_string={"next": path}, base_url=PORTAL)
    assert held_by(client)["pending"]["then"] == "/en/certificates"
    page = client.get("/en/sign-in", query_string={"next": path}, base_url=PORTAL)
    left = re.findall(r'(?:href|action|src)="([^"]*)"', page.text)
    assert [address for address in left if not re.match(r"/(?![/\\])|#|\?|data:,", address)] == []


def test_open_redirect_of_the_file_sign_in_is_refused(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/identity/v1/challenge-tokens"] = {"access_token": "fresh", "expires_in": 900}
    form = {"csrf": "the-form-token", "challenge_id": ITEM, "signature-base64": "MAN4", "next": "//evil.example"}
    answer = signed_in(app).post("/en/sign-in/file", data=form, base_url=PORTAL)
    assert answer.headers["Location"] == "/en/certificates"


def test_idor_shows_no_renewal_of_another_ar(app: Flask, api: StubAPI) -> None:
    refused = problem(404, "renewal-not-found")
    known = {key: answer for key, answer in api.answers.items() if RENEWAL not in key[1] and ITEM not in key[1]}
    api.answers = dict(known)
    own = [address for address in addresses(app, "GET") if RENEWAL in address]
    assert len(own) >= 10
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = refused
    for address in own:
        answer = signed_in(app).get(address, base_url=PORTAL)
        shown = answer.text if answer.status_code != 303 else ""
        assert answer.status_code in (404, 303), address
        assert "harbourlights" not in shown
    tokens = {asked.token for asked in api.asked if "/renewals/" in asked.path or "/orders/" in asked.path}
    assert tokens == {"access"}


def test_idor_finds_no_certificate_through_another_renewal(app: Flask, api: StubAPI) -> None:
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = []
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(items=[])
    for path in ("", "/csr", "/certificate", "/certificate.p7b", "/certificate.cer"):
        assert signed_in(app).get(f"{R}/orders/{ITEM}{path}", base_url=PORTAL).status_code == 404
    assert not [asked for asked in api.asked if "/certificate" in asked.path.rpartition("/orders/")[2]]


def test_session_fixation_leaves_an_old_cookie_worthless(app: Flask, api: StubAPI) -> None:
    client = browser(app)
    client.get("/en/sign-in/start", base_url=PORTAL)
    planted = client.get_cookie(COOKIE, domain="portal.ecert.localhost")
    assert planted is not None
    state, csrf = held_by(client)["pending"]["state"], held_by(client)["csrf"]
    client.get("/signed-in", query_string={"code": "c0de", "state": state}, base_url=PORTAL)
    fresh = held_by(client)
    assert (fresh["token"], fresh["csrf"] != csrf, fresh["pending"]) == ("fresh", True, None)
    attacker = browser(app)
    attacker.set_cookie(COOKIE, planted.value, domain="portal.ecert.localhost", secure=True)
    assert attacker.get("/en/certificates", base_url=PORTAL).status_code == 303


def test_sign_in_started_in_another_browser_is_refused(app: Flask, api: StubAPI) -> None:
    answer = browser(app).get("/signed-in?code=of-the-attacker&state=of-the-attacker", base_url=PORTAL)
    assert "problem=sign-in-stale" in answer.headers["Location"]
    assert api.asked == []


# What others wrote, wherever the API gives it.
_WRITTEN = re.compile(
    r"name|organisation|holder|issuer|subject|names?|server_names?|certificate_names|address|email|reference|"
    r"payer_name|provider_reference|declarations|server_name"
)


def tainted(value: Any, key: str = "") -> Any:
    """Return the answer with a script in every text that people wrote."""
    if isinstance(value, Mapping):
        return {name: tainted(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [tainted(each, key) for each in value]
    return value + EVIL if isinstance(value, str) and _WRITTEN.fullmatch(key) else value


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_xss_in_names_is_escaped(state: State) -> None:
    api = full_api()
    api.answers.update(state.answers)
    document = ("GET", f"/application/v1/renewals/{RENEWAL}/document")
    api.answers |= {
        key: tainted(answer)
        for key, answer in api.answers.items()
        if isinstance(answer, dict | list) and key != document
    }
    app = portal(api)
    client = signed_in(app, **{**(state.session or {}), "name": EVIL, "organisation": EVIL})
    if state.form is None:
        page = client.get(f"/en{state.path}", base_url=PORTAL, follow_redirects=True).text
    else:
        form = {"csrf": "the-form-token", **state.form}
        page = client.post(f"/en{state.path}", data=form, base_url=PORTAL, follow_redirects=True).text
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_xss_in_csr_subjects_and_entries_is_escaped(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/issuance/v1/csr-checks"] = checked(subject=f"CN={EVIL}", names=[EVIL])
    form = {"csrf": "the-form-token", "csr": f"-----BEGIN</textarea>{EVIL}", "reference": EVIL, "pin-1": EVIL}
    api.answers["POST", f"/issuance/v1/orders/{ITEM}/csr"] = problem(422, "wrong-reference", detail=EVIL)
    page = signed_in(app).post(f"{R}/orders/{ITEM}/csr", data=form, base_url=PORTAL)
    assert page.status_code == 422
    assert page.text.count("&lt;script&gt;") >= 4
    assert "<script>" not in page.text


def test_xss_in_file_names_is_escaped(app: Flask, api: StubAPI) -> None:
    csr = {"csrf": "the-form-token", "csr-file": (BytesIO(b"-----BEGIN"), f"{EVIL}.csr")}
    signature = {"csrf": "the-form-token", "signature": (BytesIO(b"hello"), f"{EVIL}.p7s")}
    for path, form in ((f"{R}/orders/{ITEM}/csr", csr), (f"{R}/sign", signature)):
        page = signed_in(app).post(path, data=form, base_url=PORTAL).text
        assert "<script>" not in page
        assert "alert(1)" not in page


def test_header_splitting_by_names_and_references_is_impossible(app: Flask, api: StubAPI) -> None:
    odd = order(state="issued", certificate=CERTIFICATE, server_names=['*.x"\r\nX-Evil: 1'], reference='E"\r\nX: 1')
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [odd]
    answer = signed_in(app).get(f"{R}/orders/{ITEM}/certificate", base_url=PORTAL)
    assert re.fullmatch(r'attachment; filename="[A-Za-z0-9.-]+"', answer.headers["Content-Disposition"])
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    "query", ["problem", "next", "signed", "refresh", "srn", "none", "code", "state", "error", "reason"]
)
def test_xss_in_queries_is_escaped(app: Flask, query: str) -> None:
    for path in ("/en/", "/en/sign-in", "/en/test-e-cert", "/en/certificates", "/signed-in", R):
        page = signed_in(app).get(path, query_string={query: EVIL}, base_url=PORTAL, follow_redirects=True)
        assert "<script>" not in page.text


def test_xss_in_e_cert_fields_is_escaped(app: Flask, api: StubAPI) -> None:
    evil = report() | {"holder": EVIL, "organisation": EVIL, "issuer": EVIL, "serial": EVIL}
    kept = {"path": "/test-e-cert/result", "fields": {"report": json.dumps(evil)}}
    page = browser(app, kept=kept).get("/en/test-e-cert/result", base_url=PORTAL).text
    assert page.count("&lt;script&gt;") == 4
    assert "<script>" not in page


def test_link_of_the_api_to_elsewhere_is_not_followed_by_script(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/payment/v1/checkouts"] = {"checkout_url": "javascript:alert(1)"}
    page = signed_in(app, paying=RENEWAL, authorisation="proof").get(f"{R}/payment/checkout", base_url=PORTAL)
    assert page.status_code == 503

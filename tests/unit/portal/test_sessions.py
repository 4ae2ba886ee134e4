"""Signing in and out, the cookie, forms of others, and addresses that lead away."""

import base64
import hashlib
import re
from html import unescape
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from tests.unit.portal.stub_api import (
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    browser,
    full_api,
    held_by,
    portal,
    problem,
    renewal,
    signed_in,
)

R = f"/en/renewals/{RENEWAL}"
PENDING = {"state": "the-state", "verifier": "the-verifier", "then": f"{R}/sign", "renewal_id": None}


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def test_sign_in_redirect_carries_the_challenge_and_not_the_verifier(app: Flask) -> None:
    client = browser(app)
    answer = client.get(f"/en/sign-in/start?next={R}", base_url=PORTAL)
    to = urlsplit(answer.headers["Location"])
    asked = {name: values[0] for name, values in parse_qs(to.query).items()}
    pending = held_by(client)["pending"]
    assert (to.netloc, to.path) == ("signin.ecert.localhost:8443", "/identity/v1/authorise")
    digest = hashlib.sha256(pending["verifier"].encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert asked["redirect_uri"] == f"{PORTAL}/signed-in"
    assert asked["state"] == pending["state"]
    assert pending["verifier"] not in answer.headers["Location"]


def test_code_opens_a_session_at_the_page_before(app: Flask, api: StubAPI) -> None:
    client = browser(app, pending=PENDING)
    answer = client.get("/signed-in?code=c0de&state=the-state", base_url=PORTAL)
    assert answer.headers["Location"] == f"{R}/sign"
    assert api.asked[0].body == {
        "code": "c0de",
        "code_verifier": "the-verifier",
        "redirect_uri": f"{PORTAL}/signed-in",
    }
    held = held_by(client)
    assert (held["token"], held["name"], held["pending"]) == ("fresh", "CHAN Mei Ling", None)
    assert held["csrf"] != "the-form-token"


@pytest.mark.parametrize("query", ["code=c0de&state=another", "code=c0de", "state=the-state", ""])
def test_unrequested_sign_in_answer_is_refused(app: Flask, api: StubAPI, query: str) -> None:
    client = browser(app, pending=PENDING)
    answer = client.get(f"/signed-in?{query}", base_url=PORTAL)
    assert "problem=sign-in-stale" in answer.headers["Location"]
    assert api.asked == []


def test_refused_sign_in_shows_the_reason_and_links_to_the_same_page(app: Flask) -> None:
    client = browser(app, pending=PENDING)
    answer = client.get("/signed-in?error=not-enrolled&state=the-state", base_url=PORTAL)
    page = client.get(answer.headers["Location"], base_url=PORTAL)
    assert "not registered for online renewal" in page.text
    assert f"{R}/sign".replace("/", "%2F") in page.text or f"{R}/sign" in page.text


def test_refused_proof_of_payer_keeps_the_renewal_in_every_link(app: Flask) -> None:
    pending = {**PENDING, "then": f"{R}/payment/checkout", "renewal_id": RENEWAL}
    client = signed_in(app, pending=pending)
    answer = client.get("/signed-in?error=client-certificate-missing&state=the-state", base_url=PORTAL)
    page = client.get(answer.headers["Location"], base_url=PORTAL).text
    assert f'href="{R}/payment/authorise"' in page
    (file_way,) = re.findall(r'href="(/en/sign-in/file[^"]*)"', page)
    assert parse_qs(urlsplit(unescape(file_way)).query) == {
        "next": [f"{R}/payment/checkout"],
        "renewal_id": [RENEWAL],
    }


def test_payment_page_asks_for_the_e_cert_where_it_was_at_sign_in(app: Flask, api: StubAPI) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="awaiting-payment")
    for with_file, first in ((True, "/en/sign-in/file"), (False, f"{R}/payment/authorise")):
        page = signed_in(app, with_file=with_file).get(f"{R}/payment", base_url=PORTAL).text
        ways = re.findall(r'href="(/en/sign-in/file|[^"]*/payment/authorise)', page)
        assert ways[0] == first
        assert len(ways) == 2


@pytest.mark.parametrize("broken", ["", "x", "gAAAAABm"])
def test_foreign_cookie_is_ignored(app: Flask, broken: str) -> None:
    client = browser(app)
    client.set_cookie("__Host-portal", broken, domain="portal.ecert.localhost", secure=True)
    assert client.get("/en/certificates", base_url=PORTAL).status_code == 303


def test_form_of_an_expired_session_leads_through_the_sign_in_and_back(app: Flask) -> None:
    answer = signed_in(app, ends=1).post(f"{R}/sign", data={"csrf": "the-form-token"}, base_url=PORTAL)
    assert answer.headers["Location"].startswith("/en/sign-in?next=")


def test_older_token_signs_in_and_pays_at_its_own_host(app: Flask, api: StubAPI) -> None:
    page = browser(app).get("/en/sign-in?next=/en/certificates", base_url=PORTAL).text
    (way,) = re.findall(r'href="(/en/sign-in/start[^"]*token=1[^"]*)"', page)
    client = browser(app)
    host = "https://signin-token.ecert.localhost:8443/identity/v1/authorise?"
    assert client.get(unescape(way), base_url=PORTAL).headers["Location"].startswith(host)
    assert held_by(client)["pending"]["token"] is True
    pay = signed_in(app, with_token=True).get(f"{R}/payment/authorise", base_url=PORTAL)
    assert pay.headers["Location"].startswith(host)
    other = signed_in(app).get(f"{R}/payment/authorise", base_url=PORTAL)
    assert other.headers["Location"].startswith("https://signin.ecert.localhost:8443/")


def test_copied_cookie_is_refused_after_sign_out(app: Flask, api: StubAPI) -> None:
    client = signed_in(app)
    copy = signed_in(app)
    api.answers["POST", "/identity/v1/session-ends"] = {}
    client.post("/en/sign-out", data={"csrf": "the-form-token"}, base_url=PORTAL)
    assert [(asked.path, asked.token) for asked in api.asked] == [("/identity/v1/session-ends", "access")]
    api.answers["GET", "/identity/v1/session"] = problem(401, "token-refused")
    for path in ("/en/certificates", f"{R}/payment"):
        answer = copy.get(path, base_url=PORTAL)
        assert (answer.status_code, "problem=session-ended" in answer.headers["Location"]) == (303, True)


def test_sign_out_works_while_the_api_is_unavailable(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/identity/v1/session-ends"] = None
    client = signed_in(app)
    answer = client.post("/en/sign-out", data={"csrf": "the-form-token"}, base_url=PORTAL)
    assert answer.status_code == 303
    assert client.get_cookie("__Host-portal", domain="portal.ecert.localhost") is None


def test_address_without_its_slash_redirects_without_a_host(app: Flask) -> None:
    answer = browser(app).get("/en?text=1", base_url=PORTAL)
    assert (answer.status_code, answer.headers["Location"]) == (308, "/en/?text=1")


def test_sign_out_deletes_the_session(app: Flask) -> None:
    client = signed_in(app)
    client.post("/en/sign-out", data={"csrf": "the-form-token"}, base_url=PORTAL)
    assert client.get("/en/certificates", base_url=PORTAL).status_code == 303


def test_signature_is_attested_and_submitted_under_one_key(app: Flask, api: StubAPI) -> None:
    form = {"csrf": "the-form-token", "signature-base64": base64.b64encode(b"0signature").decode()}
    answer = signed_in(app).post(f"{R}/sign", data=form, base_url=PORTAL)
    assert answer.headers["Location"] == f"{R}/payment"
    attestation, submission = [asked for asked in api.asked if asked.method == "POST"]
    assert attestation.key == submission.key
    assert base64.b64decode(attestation.body["signature"]) == b"0signature"
    assert submission.body == {"attestation": "attested"}


def test_file_that_is_no_signature_is_an_error_beside_the_field(app: Flask, api: StubAPI) -> None:
    for content in ("", "hello"):
        form = {"csrf": "the-form-token", "signature-base64": content}
        page = signed_in(app).post(f"{R}/sign", data=form, base_url=PORTAL)
        assert page.status_code == 422
        assert 'href="#signature"' in page.text
    assert not [asked for asked in api.asked if asked.method == "POST"]


def test_uploaded_signature_may_be_pem_and_utf_16(app: Flask, api: StubAPI) -> None:
    der = b"\x30\x81\x80" + bytes(128)
    text = f"-----BEGIN CMS-----\n{base64.encodebytes(der).decode()}-----END CMS-----\n"
    for content in (der, text.encode(), text.encode("utf-16"), base64.b64encode(der)):
        form = {"csrf": "the-form-token", "signature": (BytesIO(content), "a.p7s")}
        signed_in(app).post(f"{R}/sign", data=form, base_url=PORTAL)
        sent = [asked for asked in api.asked if asked.method == "POST"][-2]
        assert base64.b64decode(sent.body["signature"]) == der


def test_paying_opens_one_checkout_with_the_proof_of_who_pays(app: Flask, api: StubAPI) -> None:
    client = signed_in(app, paying=RENEWAL, authorisation="proof")
    first = client.get(f"{R}/payment/checkout", base_url=PORTAL)
    client.get(f"{R}/payment/checkout", base_url=PORTAL)
    assert first.headers["Refresh"] == "0; url=https://pay.example/checkout/1"
    assert 'href="https://pay.example/checkout/1"' in first.text
    keys = {asked.key for asked in api.asked if asked.path == "/payment/v1/checkouts"}
    assert len(keys) == 1
    assert api.asked[-1].body == {"renewal_id": RENEWAL, "authorisation": "proof"}


def test_proof_for_one_renewal_opens_no_checkout_of_another(app: Flask, api: StubAPI) -> None:
    client = signed_in(app, paying=ITEM, authorisation="proof")
    assert client.get(f"{R}/payment/checkout", base_url=PORTAL).headers["Location"] == f"{R}/payment"
    assert api.asked == []


def test_payment_not_ready_yet_shows_a_waiting_page(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/payment/v1/checkouts"] = problem(404, "payment-not-ready")
    page = signed_in(app, paying=RENEWAL, authorisation="proof").get(f"{R}/payment/checkout", base_url=PORTAL)
    assert (page.status_code, page.headers["Refresh"]) == (200, "5")


def test_return_from_the_provider_or_a_mail_keeps_the_language(app: Flask) -> None:
    answer = signed_in(app, edition="zh-hant").get(f"/renewals/{RENEWAL}", base_url=PORTAL)
    assert answer.headers["Location"] == f"/zh-hant/renewals/{RENEWAL}/payment/returned"


def test_an_e_cert_file_signs_in_by_a_challenge_and_may_prove_who_pays(app: Flask, api: StubAPI) -> None:
    granted = {"access_token": "fresh", "expires_in": 900, "authorisation": "proof"}
    api.answers["POST", "/identity/v1/challenge-tokens"] = granted
    client = signed_in(app)
    query = {"next": f"{R}/payment/checkout", "renewal_id": RENEWAL}
    page = client.get("/en/sign-in/file", query_string=query, base_url=PORTAL).text
    assert f'data-document="{base64.b64encode(b"sign this").decode()}"' in page
    form = {"csrf": "the-form-token", "challenge_id": ITEM, "signature-base64": "MAN4", **query}
    answer = client.post("/en/sign-in/file", data=form, base_url=PORTAL)
    assert answer.headers["Location"] == f"{R}/payment/checkout"
    assert api.asked[-2].body == {"challenge_id": ITEM, "signature": "MAN4"}
    assert (held_by(client)["paying"], held_by(client)["authorisation"]) == (RENEWAL, "proof")


def test_refused_challenge_shows_an_error_and_a_new_challenge(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/identity/v1/challenge-tokens"] = problem(403, "not-enrolled")
    form = {"csrf": "the-form-token", "challenge_id": ITEM, "signature-base64": "MAN4"}
    page = browser(app, csrf="the-form-token").post("/en/sign-in/file", data=form, base_url=PORTAL)
    assert page.status_code == 422
    assert "not registered" in page.text
    assert f'value="{ITEM}"' in page.text

"""Back, reload, a double click, another language, a session that ends: nothing typed is lost and nothing done twice."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.unit.portal.stub_api import (
    HOST,
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    full_api,
    held_by,
    portal,
    renewal,
    signed_in,
    subscription,
)

R = f"/en/renewals/{RENEWAL}"
CHOICE = "/en/certificates/renewal?srn=0002310001&srn=0002310002"
FORM = {"csrf": "the-form-token", "once": "a" * 32}


@pytest.fixture
def api() -> StubAPI:
    made = full_api()
    wildcard = subscription(srn="0002310002", product="wildcard", server_names=["*.example.hk"], additional_servers=1)
    made.answers["GET", "/application/v1/subscriptions"] = [subscription(), wildcard]
    return made


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def sign_in_again(client: FlaskClient, answer: Any) -> str:
    """Follow the sign-in to the page to which it leads back."""
    assert answer.headers["Location"].startswith("/en/sign-in?next=")
    page = client.get(answer.headers["Location"], base_url=PORTAL)
    assert "come back to where you were" in page.text
    client.get(answer.headers["Location"].replace("/sign-in?", "/sign-in/start?"), base_url=PORTAL)
    state = held_by(client)["pending"]["state"]
    back = client.get("/signed-in", query_string={"code": "c0de", "state": state}, base_url=PORTAL)
    return str(back.headers["Location"])


# A form's address, what is typed into it, and what it asks of the API.
CHANGES: list[tuple[str, dict[str, Any], list[str]]] = [
    (CHOICE, {"srn": ["0002310001", "0002310002"], "servers-0002310002": "3"}, ["/application/v1/renewals"]),
    ("/en/certificates/reissue", {"srn": "0002310001"}, ["/application/v1/renewals"]),
    (
        f"{R}/orders/{ITEM}/pins",
        {"name": [HOST], "reason": "exposed"},
        [f"/issuance/v1/orders/{ITEM}/pins"],
    ),
    (
        f"{R}/sign",
        {"signature-base64": "MAN4"},
        ["/identity/v1/attestations", f"/application/v1/renewals/{RENEWAL}/submission"],
    ),
    (f"{R}/cancel", {}, [f"/application/v1/renewals/{RENEWAL}/cancellation"]),
    (
        f"{R}/orders/{ITEM}/csr",
        {"csr": "-----BEGIN", "reference": "R-1", "pin-1": "1"},
        [f"/issuance/v1/orders/{ITEM}/csr"],
    ),
    (f"{R}/domains", {"domain": HOST}, [f"/issuance/v1/domains/{HOST}/checks"]),
    (f"{R}/domains", {"parent": "harbourlights.example.hk"}, ["/issuance/v1/domains"]),
    (f"{R}/orders/{ITEM}/acceptance", {}, [f"/issuance/v1/orders/{ITEM}/acceptance"]),
]


@pytest.mark.parametrize(("path", "form", "paths"), CHANGES, ids=[path.rsplit("/", 1)[1] for path, _, _ in CHANGES])
def test_double_click_sends_the_same_idempotency_key(
    app: Flask, api: StubAPI, path: str, form: dict[str, Any], paths: list[str]
) -> None:
    client = signed_in(app)
    for _ in range(2):
        client.post(path, data={**FORM, **form}, base_url=PORTAL)
    for changed in paths:
        asked = [(each.key, each.body) for each in api.asked if (each.method, each.path) == ("POST", changed)]
        assert len(asked) == 2
        assert asked[0] == asked[1]
        assert len(asked[0][0] or "") >= 8


def test_ticket_that_came_with_the_document_goes_to_identity_with_the_signature(app: Flask, api: StubAPI) -> None:
    path, form, _ = next(change for change in CHANGES if change[0].endswith("/sign"))
    signed_in(app).post(path, data={**FORM, **form}, base_url=PORTAL)
    assert [each.ticket for each in api.asked if each.path == "/identity/v1/attestations"] == ["the-ticket"]


def test_page_shown_again_has_a_new_idempotency_key(app: Flask) -> None:
    client = signed_in(app)
    pages = [client.get(f"{R}/cancel", base_url=PORTAL).text for _ in range(2)]
    assert pages[0] != pages[1]


def test_every_form_redirects_so_that_a_reload_sends_nothing(app: Flask) -> None:
    client = signed_in(app)
    for path, form, _ in CHANGES:
        assert client.post(path, data={**FORM, **form}, base_url=PORTAL).status_code == 303


@pytest.mark.parametrize(("path", "form", "paths"), CHANGES, ids=[path.rsplit("/", 1)[1] for path, _, _ in CHANGES])
def test_expired_session_leads_back_to_the_same_page_without_an_effect(
    app: Flask, api: StubAPI, path: str, form: dict[str, Any], paths: list[str]
) -> None:
    client = signed_in(app, ends=1)
    answer = client.post(path, data={**FORM, **form}, base_url=PORTAL)
    assert sign_in_again(client, answer) == path
    assert not [asked for asked in api.asked if asked.path in paths]
    page = client.get(path, base_url=PORTAL, follow_redirects=True)
    assert page.status_code == 200


def test_entries_survive_an_expired_session(app: Flask) -> None:
    client = signed_in(app, ends=1)
    form = {**FORM, "srn": ["0002310001", "0002310002"], "servers-0002310002": "7"}
    back = sign_in_again(client, client.post(CHOICE, data=form, base_url=PORTAL))
    page = client.get(back, base_url=PORTAL).text
    assert 'value="7"' in page
    assert page.count('name="srn"') == 2


def test_draft_survives_the_session(app: Flask, api: StubAPI) -> None:
    client = signed_in(app, ends=1)
    back = sign_in_again(client, client.get(f"{R}/check", base_url=PORTAL))
    assert back == f"{R}/check"
    api.answers["GET", "/application/v1/renewals"] = [renewal()]
    assert f'href="{R}"' in client.get("/en/certificates", base_url=PORTAL).text


def test_outdated_page_redirects_to_the_renewals_current_page(app: Flask, api: StubAPI) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="awaiting-csrs")
    client = signed_in(app)
    assert client.get(f"{R}/sign", base_url=PORTAL).headers["Location"] == R
    assert client.get(f"{R}/payment/returned", base_url=PORTAL).headers["Location"] == R
    api.answers["GET", f"/payment/v1/payments/{RENEWAL}"] = {"state": "captured", "pay_before": "2026-12-07T01:00:00Z"}
    assert client.get(f"{R}/payment", base_url=PORTAL).headers["Location"] == R


def test_request_with_a_lost_answer_may_be_repeated(app: Flask, api: StubAPI) -> None:
    path = f"/application/v1/renewals/{RENEWAL}/cancellation"
    api.answers["POST", path] = None
    client = signed_in(app)
    page = client.post(f"{R}/cancel", data=FORM, base_url=PORTAL)
    assert (page.status_code, "Nothing is lost" in page.text) == (503, True)
    api.answers["POST", path] = renewal(state="cancelled")
    assert client.post(f"{R}/cancel", data=FORM, base_url=PORTAL).status_code == 303
    assert len({asked.key for asked in api.asked if asked.path == path}) == 1

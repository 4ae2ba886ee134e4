"""Revocation in the portal: the form, its confirmation, a sign-in in between, and the page afterwards."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from tests.unit.portal.stub_api import (
    CERTIFICATE,
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    full_api,
    held_by,
    order,
    problem,
    signed_in,
)
from tests.unit.portal.stub_api import portal as portal_of

PAGE: Final = f"/en/renewals/{RENEWAL}/orders/{ITEM}/revocation"
ORDERS: Final = ("GET", f"/issuance/v1/renewals/{RENEWAL}/orders")
SEND: Final = ("POST", f"/issuance/v1/orders/{ITEM}/revocation")
MOMENT: Final = "2026-11-30T02:00:00+00:00"
FORM: Final = {"csrf": "the-form-token", "revocation-reason": "superseded", "understood": "yes"}


@pytest.fixture
def api() -> StubAPI:
    """An API with an issued certificate."""
    api = full_api()
    give(api)
    return api


@pytest.fixture
def app(api: StubAPI) -> Flask:
    """The portal on it."""
    return portal_of(api)


def give(api: StubAPI, **changed: Any) -> None:
    """Have the API answer with a certificate of this kind."""
    api.answers[ORDERS] = [order(state="accepted", certificate=CERTIFICATE | changed)]


def sent(api: StubAPI) -> list[Any]:
    """Return the bodies of the revocations asked for."""
    return [asked.body for asked in api.asked if (asked.method, asked.path) == SEND]


def test_page_of_the_certificate_leads_to_its_revocation(app: Flask) -> None:
    page = signed_in(app).get(PAGE.removesuffix("/revocation"), base_url=PORTAL).text
    assert f'href="{PAGE}"' in page


def test_page_offers_the_reasons_of_a_subscriber_and_no_other(app: Flask) -> None:
    page = signed_in(app).get(PAGE, base_url=PORTAL).text
    offered = [each for each in ("keyCompromise", "superseded", "unspecified") if f'value="{each}"' in page]
    assert offered == ["keyCompromise", "superseded", "unspecified"]
    assert "privilegeWithdrawn" not in page


def test_sent_form_revokes_with_its_reason_and_leads_to_the_result(app: Flask, api: StubAPI) -> None:
    answer = signed_in(app).post(PAGE, data=FORM, base_url=PORTAL)
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    assert sent(api) == [{"reason": "superseded"}]


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("revocation-reason", "Select why the certificate is to be revoked"),
        ("understood", "Confirm that you have read what revoking does"),
    ],
)
def test_form_without_reason_or_confirmation_revokes_nothing(
    app: Flask, api: StubAPI, without: str, words: str
) -> None:
    form = {name: value for name, value in FORM.items() if name != without}
    answer = signed_in(app).post(PAGE, data=form, base_url=PORTAL)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'href="#{without}"' in answer.text
    assert sent(api) == []


@pytest.mark.parametrize("reason", ["privilegeWithdrawn", "certificateHold", "x"])
def test_reason_that_is_not_offered_revokes_nothing(app: Flask, api: StubAPI, reason: str) -> None:
    assert signed_in(app).post(PAGE, data=FORM | {"revocation-reason": reason}, base_url=PORTAL).status_code == 422
    assert sent(api) == []


def test_old_sign_in_leads_to_another_and_back_with_the_reason_but_not_the_confirmation(
    app: Flask, api: StubAPI
) -> None:
    api.answers[SEND] = problem(401, "sign-in-again")
    browser = signed_in(app)
    target = urlsplit(browser.post(PAGE, data=FORM, base_url=PORTAL).headers["Location"])
    assert target.path == "/en/sign-in"
    assert parse_qs(target.query) == {"next": [PAGE], "problem": ["sign-in-again"]}
    assert held_by(browser)["token"] == "access"  # still good for all else
    page = browser.get(f"{target.path}?{target.query}", base_url=PORTAL).text
    assert "Show your e-Cert again" in page
    back = browser.get(PAGE, base_url=PORTAL).text
    assert 'value="superseded" checked' in back
    assert 'type="checkbox" value="yes" checked' not in back


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"revoked_at": MOMENT, "revocation_reason": "superseded"}, "The next CRL, which is made within minutes"),
        (
            {"revoked_at": MOMENT, "revocation_reason": "superseded", "listed_at": "2026-11-30T02:03:00+00:00"},
            "30 Nov 2026, 10:03",
        ),
        ({"not_after": "2026-11-01T00:00:00+00:00"}, "there is nothing left to revoke"),
    ],
    ids=["revoked", "on the CRL", "expired"],
)
def test_revoked_or_expired_certificate_is_named_as_such_and_its_key_can_be_reported(
    app: Flask, api: StubAPI, changed: dict[str, str], words: str
) -> None:
    give(api, **changed)
    page = signed_in(app).get(PAGE, base_url=PORTAL)
    assert words in page.text
    assert 'id="revoke"' not in page.text
    assert ("Refresh" in page.headers) is (changed.get("revoked_at") is not None and "listed_at" not in changed)
    form = signed_in(app).get(f"{PAGE}?key=1", base_url=PORTAL).text
    assert 'type="hidden" name="revocation-reason" value="keyCompromise"' in form
    assert signed_in(app).post(PAGE, data=FORM, base_url=PORTAL).status_code == 422
    report = FORM | {"revocation-reason": "keyCompromise"}
    assert signed_in(app).post(PAGE, data=report, base_url=PORTAL).status_code == 303
    assert sent(api) == [{"reason": "keyCompromise"}]


def test_certificate_with_a_compromised_key_offers_nothing_more(app: Flask, api: StubAPI) -> None:
    give(api, revoked_at=MOMENT, revocation_reason="keyCompromise", listed_at=MOMENT)
    page = signed_in(app).get(f"{PAGE}?key=1", base_url=PORTAL).text
    assert "The key is blocked" not in page
    assert "Make a new key" in page
    assert "?key=1" not in page.partition("<main")[2]


def test_order_without_a_certificate_has_nothing_to_revoke(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(state="awaiting-csr")]
    assert "There is no certificate to revoke" in signed_in(app).get(PAGE, base_url=PORTAL).text
    assert signed_in(app).post(PAGE, data=FORM, base_url=PORTAL).status_code == 200
    assert sent(api) == []

"""Reissue in the portal: chosen, signed, and its CSR sent, without a payment and without a PIN."""

import pytest
from flask import Flask

from tests.unit.portal import reissue_states
from tests.unit.portal.reissue_states import CHOICE, SUBSCRIPTIONS, having, reissue
from tests.unit.portal.stub_api import (
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    full_api,
    portal,
    problem,
    signed_in,
    subscription,
)

R = f"/en/renewals/{RENEWAL}"
CSRF = {"csrf": "the-form-token"}


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def asked(api: StubAPI, path: str) -> list[object]:
    return [each.body for each in api.asked if (each.method, each.path) == ("POST", path)]


def test_certificate_that_can_be_reissued_has_a_link(app: Flask, api: StubAPI) -> None:
    link = f'href="/en{CHOICE}"'
    assert link in signed_in(app).get("/en/certificates", base_url=PORTAL).text
    api.answers[SUBSCRIPTIONS] = [subscription(reissue_reason="suspended")]
    assert link not in signed_in(app).get("/en/certificates", base_url=PORTAL).text


def test_confirmed_choice_makes_a_draft_of_a_reissue(app: Flask, api: StubAPI) -> None:
    answer = signed_in(app).post(f"/en{CHOICE}", data=CSRF, base_url=PORTAL)
    assert answer.status_code == 303
    assert answer.location.endswith(R)
    assert asked(api, "/application/v1/renewals") == [
        {"kind": "reissue", "items": [{"srn": "0002310001"}], "language": "en"}
    ]


def test_refused_choice_names_the_certificate_and_the_reason(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/application/v1/renewals"] = problem(
        409, "not-eligible", srn="0002310001", reason="being-renewed"
    )
    answer = signed_in(app).post(f"/en{CHOICE}", data=CSRF, base_url=PORTAL)
    assert answer.status_code == 422
    assert "SRN 0002310001: A renewal is under way" in answer.text


def test_certificate_of_others_leads_back(app: Flask) -> None:
    answer = signed_in(app).get("/en/certificates/reissue?srn=9999999999", base_url=PORTAL)
    assert (answer.status_code, answer.location) == (303, "/en/certificates")


def test_signed_reissue_leads_to_its_status_and_never_to_a_payment(app: Flask, api: StubAPI) -> None:
    api.answers |= having(reissue())
    signed = signed_in(app).post(f"{R}/sign", data=CSRF | {"signature-base64": "MAN4"}, base_url=PORTAL)
    assert signed.location.endswith(R)
    api.answers |= having(reissue(state="awaiting-csrs"))
    assert signed_in(app).get(f"{R}/payment", base_url=PORTAL).location.endswith(R)


def test_csr_is_sent_with_the_orders_own_reference_and_no_pin(app: Flask, api: StubAPI) -> None:
    api.answers |= having(reissue(state="awaiting-csrs"))
    page = signed_in(app).post(f"{R}/orders/{ITEM}/csr", data=CSRF | {"csr": "-----BEGIN"}, base_url=PORTAL).text
    assert 'name="pin-1"' not in page
    assert '<input type="hidden" name="reference" value="R-7KQ2-M8XD-1">' in page
    form = CSRF | {"csr": "-----BEGIN", "reference": "R-7KQ2-M8XD-1"}
    assert signed_in(app).post(f"{R}/orders/{ITEM}/csr", data=form, base_url=PORTAL).status_code == 303
    assert asked(api, f"/issuance/v1/orders/{ITEM}/csr") == [
        {"reference": "R-7KQ2-M8XD-1", "pins": {}, "csr": "-----BEGIN"}
    ]


@pytest.mark.parametrize("row", [*reissue_states.rows()], ids=lambda row: row[0])
def test_no_page_of_a_reissue_speaks_of_money_or_of_pin_envelopes(
    app: Flask, api: StubAPI, row: reissue_states.Row
) -> None:
    _, path, answers, form = row
    api.answers.update(answers)
    client = signed_in(app)
    page = (
        client.get(f"/en{path}", base_url=PORTAL)
        if form is None
        else client.post(f"/en{path}", data={**CSRF, **form}, base_url=PORTAL)
    )
    if not path.startswith("/certificates"):
        assert [
            word for word in ("HK$", "Price list", "PIN Envelopes", "with the PINs", "Receipt") if word in page.text
        ] == []

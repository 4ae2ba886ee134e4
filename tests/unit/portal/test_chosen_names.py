"""Server names of a Multi-domain certificate, changed at its renewal: typed, refused beside the field, compared."""

import pytest
from flask import Flask

from tests.unit.portal.stub_api import (
    PORTAL,
    RENEWAL,
    StubAPI,
    full_api,
    portal,
    problem,
    renewal,
    signed_in,
    subscription,
)

CHOICE = "/en/certificates/renewal"
FIELD = "names-0002310001"
FORM = {"csrf": "the-form-token", "srn": "0002310001"}
TODAY = ["mail.example.hk", "vpn.example.hk"]


@pytest.fixture
def api() -> StubAPI:
    api = full_api()
    api.answers["GET", "/application/v1/subscriptions"] = [subscription(product="multi-domain", server_names=TODAY)]
    return api


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def test_todays_names_stand_in_the_field(app: Flask) -> None:
    page = signed_in(app).get(f"{CHOICE}?srn=0002310001", base_url=PORTAL).text
    assert "mail.example.hk\nvpn.example.hk</textarea>" in page


@pytest.mark.parametrize("typed", ["mail.example.hk\r\napi.example.hk\r\n", " mail.example.hk, api.example.hk;"])
def test_typed_names_are_requested(app: Flask, api: StubAPI, typed: str) -> None:
    answer = signed_in(app).post(CHOICE, data=FORM | {FIELD: typed}, base_url=PORTAL)
    assert answer.location.endswith(f"/en/renewals/{RENEWAL}")
    (asked,) = [each.body for each in api.asked if (each.method, each.path) == ("POST", "/application/v1/renewals")]
    assert asked["items"] == [{"srn": "0002310001", "server_names": ["mail.example.hk", "api.example.hk"]}]


@pytest.mark.parametrize("typed", ["", " \n ,; ", "\n".join(f"a{n}.example.hk" for n in range(51))])
def test_no_name_or_too_many_are_an_error_beside_the_field(app: Flask, api: StubAPI, typed: str) -> None:
    page = signed_in(app).post(CHOICE, data=FORM | {FIELD: typed}, base_url=PORTAL)
    assert page.status_code == 422
    assert f'id="{FIELD}-error"' in page.text
    assert not [each for each in api.asked if each.method == "POST"]


def test_refused_name_is_named_beside_the_field_and_nothing_typed_is_lost(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/application/v1/renewals"] = problem(
        422, "server-names-refused", srn="0002310001", reason="name-underscore", server_names=["a_b.example.hk"]
    )
    page = signed_in(app).post(CHOICE, data=FORM | {FIELD: "mail.example.hk a_b.example.hk"}, base_url=PORTAL).text
    assert f'id="{FIELD}-error"' in page
    assert "A server name must not have an underscore (_). (a_b.example.hk)" in page
    assert "mail.example.hk a_b.example.hk</textarea>" in page


def test_added_and_dropped_names_are_shown_before_signing(app: Flask, api: StubAPI) -> None:
    made = renewal()
    made["items"][0] |= {
        "product": "multi-domain",
        "server_names": ["mail.example.hk", "api.example.hk"],
        "present_server_names": TODAY,
    }
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made
    page = signed_in(app).get(f"/en/renewals/{RENEWAL}/check", base_url=PORTAL).text
    dropped, added = page.index("Server names dropped"), page.index("Server names added")
    assert "vpn.example.hk" in page[dropped:added]
    assert "api.example.hk" in page[added : added + 300]
    assert "mail.example.hk" not in page[dropped : added + 300]

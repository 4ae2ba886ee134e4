"""The CSR of one certificate: tried, compared, sent with the PINs, and never typed twice."""

import base64
from io import BytesIO
from typing import Any

import pytest
from flask import Flask

from portal import csr_text
from tests.unit.portal.stub_api import (
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
    signed_in,
)

R = f"/en/renewals/{RENEWAL}"
ORDER = f"{R}/orders/{ITEM}"
PAGE = f"{ORDER}/csr"
NAME = "www.harbourlights.example.hk"
PIN = "1234567890123456"
TRY = {"csrf": "the-form-token", "csr": "-----BEGIN mine"}
SEND = TRY | {"reference": " E-1 ", "pin-1": PIN}
CHECKS = ("POST", "/issuance/v1/csr-checks")
SENDS = ("POST", f"/issuance/v1/orders/{ITEM}/csr")
ORDERS = ("GET", f"/issuance/v1/renewals/{RENEWAL}/orders")


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def bodies(api: StubAPI, what: tuple[str, str]) -> list[Any]:
    return [asked.body for asked in api.asked if (asked.method, asked.path) == what]


def test_order_awaiting_its_csr_links_to_the_form_with_guides_for_its_names(app: Flask) -> None:
    page = signed_in(app).get(ORDER, base_url=PORTAL, follow_redirects=True).text
    assert f"subjectAltName=DNS:{NAME}" in page
    assert [key for key in ("nginx", "apache", "haproxy", "tomcat", "iis") if f'id="{key}"' not in page] == []


def test_good_csr_is_shown_beside_its_order_and_may_be_sent(app: Flask, api: StubAPI) -> None:
    page = signed_in(app).post(PAGE, data=TRY, base_url=PORTAL)
    assert page.status_code == 200
    assert bodies(api, CHECKS) == [{"item_id": ITEM, "csr": "-----BEGIN mine"}]
    for shown in ("CN=www.harbourlights", "RSA, 2048 bits", "SHA-256, RSA (PKCS#1 v1.5)", "c5c5", "As ordered"):
        assert shown in page.text
    assert "Another key than in the certificate in use" in page.text
    assert 'name="pin-1"' in page.text


def test_key_of_the_certificate_in_use_is_recognised(app: Flask, api: StubAPI) -> None:
    api.answers[CHECKS] = checked(spki_sha256="01" * 32)
    page = signed_in(app).post(PAGE, data=TRY, base_url=PORTAL).text
    assert "The same key as in the certificate in use" in page


def test_names_that_differ_are_shown_side_by_side(app: Flask, api: StubAPI) -> None:
    api.answers[CHECKS] = checked(
        refusal="csr-names-differ",
        reason="csr-names-differ",
        names=["old.example.hk"],
        certificate_names=["*.shop.example.hk", "shop.example.hk"],
        differences=[
            {"server_name": "old.example.hk", "kind": "surplus"},
            {"server_name": "*.shop.example.hk", "kind": "missing"},
        ],
    )
    page = signed_in(app).post(PAGE, data=TRY, base_url=PORTAL)
    assert page.status_code == 422
    assert "Ordered, but not in the CSR" in page.text
    assert "In the CSR, but not ordered" in page.text
    assert "Comes with the Wildcard" in page.text
    assert "-----BEGIN mine</textarea>" in page.text
    assert 'name="pin-1"' not in page.text


def test_csr_is_checked_for_the_names_applied_for_before_the_order_exists(app: Flask, api: StubAPI) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="awaiting-payment")
    api.answers[ORDERS] = problem(404, "order-not-found")
    page = signed_in(app).post(PAGE, data=TRY, base_url=PORTAL)
    assert page.status_code == 200
    assert bodies(api, CHECKS) == [{"server_names": [NAME], "csr": "-----BEGIN mine"}]
    assert 'name="pin-1"' not in page.text


def test_empty_submission_is_an_error_beside_the_field(app: Flask, api: StubAPI) -> None:
    page = signed_in(app).post(PAGE, data=TRY | {"csr": "  "}, base_url=PORTAL)
    assert page.status_code == 422
    assert 'href="#csr"' in page.text
    assert bodies(api, CHECKS) == []


def test_uploaded_file_replaces_pasted_text(app: Flask, api: StubAPI) -> None:
    form = {"csrf": "the-form-token", "csr": "", "csr-file": (BytesIO(b"\xef\xbb\xbf-----BEGIN file"), '"><img>.csr')}
    page = signed_in(app).post(PAGE, data=form, base_url=PORTAL)
    assert bodies(api, CHECKS) == [{"item_id": ITEM, "csr": "-----BEGIN file"}]
    assert "-----BEGIN file</textarea>" in page.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_file_may_come_from_any_editor(encoding: str) -> None:
    assert csr_text.read("-----BEGIN".encode(encoding)) == "-----BEGIN"


def test_file_in_der_gets_its_armour() -> None:
    der = b"\x30\x81\x80" + b"x" * 128
    lines = csr_text.read(der).splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----")
    assert base64.b64decode("".join(lines[1:-1])) == der


def test_csr_is_sent_with_the_reference_and_the_pin_of_every_name(app: Flask, api: StubAPI) -> None:
    client = signed_in(app)
    answer = client.post(PAGE, data=SEND, base_url=PORTAL)
    assert answer.headers["Location"] == ORDER
    assert bodies(api, SENDS) == [{"reference": "E-1", "pins": {NAME: PIN}, "csr": "-----BEGIN mine"}]
    assert held_by(client).get("kept") is None


def test_csr_accepted_meanwhile_leads_to_its_certificate(app: Flask, api: StubAPI) -> None:
    api.answers[SENDS] = problem(409, "not-in-this-state")
    client = signed_in(app)
    api.answers[ORDERS] = [order(state="awaiting-csr")]
    assert client.post(PAGE, data=SEND, base_url=PORTAL).status_code == 422
    api.answers[ORDERS] = [order(state="issuing")]
    assert client.post(PAGE, data=SEND, base_url=PORTAL).headers["Location"] == ORDER


def test_refusal_keeps_every_entry_but_the_wrong_pins(app: Flask, api: StubAPI) -> None:
    names = ["a.example.hk", "b.example.hk", "c.example.hk"]
    api.answers[ORDERS] = [order(server_names=names)]
    wrong = [{"server_name": "b.example.hk", "tries_left": 3}]
    api.answers[SENDS] = problem(403, "pin-wrong", wrong=wrong)
    pins = {"pin-1": "1111", "pin-2": "2222", "pin-3": "3333"}
    page = signed_in(app).post(PAGE, data=SEND | pins, base_url=PORTAL)
    assert page.status_code == 422
    assert 'value="1111"' in page.text
    assert 'value="3333"' in page.text
    assert "2222" not in page.text
    assert 'value=" E-1 "' in page.text
    assert "-----BEGIN mine</textarea>" in page.text
    assert 'href="#pin-2"' in page.text
    assert "The PIN of b.example.hk is wrong" in page.text
    assert "Tries left: 3" in page.text


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        (problem(422, "pin-slip", mistyped=[NAME]), "pin-1"),
        (problem(403, "pin-locked", locked=[NAME]), "pin-1"),
        (problem(409, "pin-not-ready"), "pin-1"),
        (problem(422, "wrong-reference"), "reference"),
        (problem(409, "idempotency-key-in-use"), "send"),
    ],
)
def test_refusal_is_shown_beside_its_field(app: Flask, api: StubAPI, refusal: Any, field: str) -> None:
    api.answers[SENDS] = refusal
    page = signed_in(app).post(PAGE, data=SEND, base_url=PORTAL)
    assert page.status_code == 422
    assert f'href="#{field}"' in page.text
    assert f'id="{field}"' in page.text


def test_missing_pins_are_asked_for_one_by_one(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(server_names=["a.example.hk", "b.example.hk"])]
    page = signed_in(app).post(PAGE, data=TRY | {"reference": "", "pin-1": PIN, "pin-2": ""}, base_url=PORTAL)
    assert 'href="#reference"' in page.text
    assert 'href="#pin-2"' in page.text
    assert 'href="#pin-1"' not in page.text
    assert bodies(api, SENDS) == []


FIFTY = [f"s{number}.example.hk" for number in range(1, 51)]
FIFTY_PINS = {name: f"{number:016d}" for number, name in enumerate(FIFTY, start=1)}


def test_fifty_pins_pasted_with_their_names_are_sent_at_once(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(server_names=FIFTY)]
    client = signed_in(app)
    pasted = "\n".join(f"{name}\t{pin}" for name, pin in reversed(FIFTY_PINS.items()))
    answer = client.post(PAGE, data=TRY | {"reference": "E-1", "pin-list": pasted}, base_url=PORTAL)
    assert answer.headers["Location"] == ORDER
    [body] = bodies(api, SENDS)
    assert body["pins"] == FIFTY_PINS


def test_pins_pasted_without_names_are_shown_beside_them_before_they_are_sent(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(server_names=FIFTY)]
    client = signed_in(app)
    pasted = "\n".join(FIFTY_PINS.values())
    page = client.post(PAGE, data=TRY | {"reference": "E-1", "pin-list": pasted}, base_url=PORTAL)
    assert (page.status_code, bodies(api, SENDS)) == (200, [])
    assert 'id="filled"' in page.text
    assert page.text.count(FIFTY_PINS["s7.example.hk"]) == 1  # in its field, no longer in the list
    assert "0000000000" not in str(held_by(client))


def test_pasted_list_fills_what_is_missing_and_a_refusal_keeps_it(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(server_names=FIFTY)]
    api.answers[SENDS] = problem(403, "pin-wrong", wrong=[{"server_name": "s2.example.hk", "tries_left": 4}])
    typed = {f"pin-{number}": FIFTY_PINS[name] for number, name in enumerate(FIFTY, start=1) if number > 3}
    pasted = "\n".join(f"{name} {FIFTY_PINS[name]}" for name in FIFTY[:3])
    client = signed_in(app)
    page = client.post(PAGE, data=TRY | {"reference": "E-1", "pin-list": pasted} | typed, base_url=PORTAL)
    assert page.status_code == 422
    missing = [name for name in FIFTY if f'value="{FIFTY_PINS[name]}"' not in page.text]
    assert missing == ["s2.example.hk"]
    assert FIFTY_PINS["s2.example.hk"] not in page.text
    assert "0000000000" not in str(held_by(client))


def test_list_that_is_not_clear_is_kept_with_all_else_and_nothing_is_sent(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(server_names=FIFTY)]
    typed = {"reference": "E-1", "pin-9": "9999", "pin-list": "s1.example.hk 1111\nother.example.hk 2222"}
    client = signed_in(app)
    page = client.post(PAGE, data=TRY | typed, base_url=PORTAL)
    assert page.status_code == 422
    assert 'href="#pin-list"' in page.text
    assert "Line 2 of the list has a server name that is not in this certificate" in page.text
    assert "other.example.hk 2222</textarea>" in page.text
    assert 'value="9999"' in page.text
    assert bodies(api, SENDS) == []
    assert "2222" not in str(held_by(client))


def test_reload_or_another_language_shows_the_same_csr(app: Flask) -> None:
    client = signed_in(app)
    client.post(PAGE, data=TRY, base_url=PORTAL)
    again = client.get(PAGE.replace("/en/", "/zh-hant/"), base_url=PORTAL)
    assert "-----BEGIN mine</textarea>" in again.text
    fresh = client.get(f"{PAGE}?fresh=1", base_url=PORTAL)
    assert "-----BEGIN mine" not in fresh.text


def test_expired_session_keeps_the_csr_over_the_sign_in_but_no_pin(app: Flask, api: StubAPI) -> None:
    client = signed_in(app, ends=1)
    answer = client.post(PAGE, data=SEND, base_url=PORTAL)
    assert answer.headers["Location"].startswith("/en/sign-in?next=")
    held = held_by(client)
    assert held["kept"]["fields"] == {"csr": "-----BEGIN mine", "reference": " E-1 "}
    assert (held["token"], PIN in str(held)) == ("", False)
    client.get("/en/sign-in/start", query_string={"next": PAGE}, base_url=PORTAL)
    state = held_by(client)["pending"]["state"]
    back = client.get("/signed-in", query_string={"code": "c0de", "state": state}, base_url=PORTAL)
    assert back.headers["Location"] == PAGE
    page = client.get(PAGE, base_url=PORTAL).text
    assert "-----BEGIN mine</textarea>" in page
    assert 'value=" E-1 "' in page


def test_cross_site_form_is_not_stored(app: Flask) -> None:
    client = browser(app)
    answer = client.post(PAGE, data=SEND | {"csrf": "guessed"}, base_url=PORTAL)
    assert answer.status_code == 303
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("ends", [1, 4_000_000_000])
def test_pasted_private_key_is_neither_stored_nor_shown_again(app: Flask, api: StubAPI, ends: int) -> None:
    api.answers[CHECKS] = checked(refusal="private-key-pasted", csr_sha256=None, spki_sha256=None, names=[])
    client = signed_in(app, ends=ends)
    form = TRY | {"csr": "-----BEGIN PRIVATE KEY-----"}
    page = client.post(PAGE, data=form, base_url=PORTAL)
    assert "BEGIN PRIVATE KEY" not in page.text + str(held_by(client))
    assert ends == 1 or "must never leave your server" in page.text


def test_entries_too_large_for_a_cookie_are_dropped(app: Flask) -> None:
    client = signed_in(app, ends=1)
    answer = client.post(PAGE, data=TRY | {"csr": "x" * 20_000}, base_url=PORTAL)
    assert answer.headers["Location"].startswith("/en/sign-in?")
    cookie = client.get_cookie("__Host-portal", domain="portal.ecert.localhost")
    assert cookie is not None
    assert len(cookie.value) < 4_000
    assert (held_by(client)["kept"], held_by(client)["token"]) == (None, "")


def test_reason_of_a_discarded_csr_is_shown(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = [order(refusal="key-blocked")]
    page = signed_in(app).get(PAGE, base_url=PORTAL).text
    assert "Your last CSR was set aside" in page


def test_item_of_another_renewal_is_not_found(app: Flask, api: StubAPI) -> None:
    api.answers[ORDERS] = []
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(items=[])
    assert signed_in(app).get(PAGE, base_url=PORTAL).status_code == 404
    assert signed_in(app).post(PAGE, data=TRY, base_url=PORTAL).status_code == 404

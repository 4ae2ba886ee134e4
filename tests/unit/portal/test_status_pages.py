"""Status pages of a renewal: its state, the next step, and the acknowledgement."""

from typing import Any

import pytest
from flask import Flask

from tests.unit.portal.stub_api import (
    CERTIFICATE,
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    full_api,
    order,
    portal,
    renewal,
    signed_in,
    subscription,
)

R = f"/en/renewals/{RENEWAL}"


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def test_status_page_reloads_itself_until_switched_off(app: Flask, api: StubAPI) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="withholding")
    client = signed_in(app)
    page = client.get(R, base_url=PORTAL)
    assert page.headers["Refresh"] == "5"
    assert 'href="?refresh=off"' in page.text
    assert "Refresh" not in client.get(f"{R}?refresh=off", base_url=PORTAL).headers


@pytest.mark.parametrize(
    ("orders", "item_state", "reloads"),
    [
        ([], "pending", True),
        (
            [order(pins=[{"server_name": "www.harbourlights.example.hk", "state": "planned", "tries_left": 5}])],
            "ordered",
            True,
        ),
        ([order()], "ordered", False),
        ([order(state="issuing")], "csr-received", True),
        ([order(state="issued", certificate=CERTIFICATE)], "issued", False),
    ],
)
def test_status_page_reloads_while_a_machine_works_and_not_for_the_post(
    app: Flask, api: StubAPI, orders: list[dict[str, Any]], item_state: str, reloads: bool
) -> None:
    made = renewal(state="awaiting-csrs")
    made["items"][0]["state"] = item_state
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = orders
    assert ("Refresh" in signed_in(app).get(R, base_url=PORTAL).headers) is reloads


def entry(event: str, day: int = 23, **facts: str) -> dict[str, Any]:
    return {"time": f"2026-11-{day}T02:00:00+00:00", "event": event, "item_id": ITEM, "detail": None, **facts}


def posted(number: str, day: int, name: str = "a.example.hk") -> dict[str, Any]:
    return entry("pin-envelope-posted", day, server_name=name, registered_number=number)


def test_status_page_shows_the_state_of_each_pin_envelope(app: Flask, api: StubAPI) -> None:
    names = ["a.example.hk", "b.example.hk"]
    made = renewal(state="awaiting-csrs", timeline=[posted("RR123456785HK", 24)])
    made["items"][0]["server_names"] = names
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [order(server_names=names)]
    page = signed_in(app).get(R, base_url=PORTAL).text
    assert "posted on 24 November 2026, registered number RR123456785HK" in page
    assert "being printed" in page
    made["timeline"].append(entry("pin-envelope-returned", reason="unclaimed"))
    assert "came back undelivered" in signed_in(app).get(R, base_url=PORTAL).text
    made["timeline"].append(posted("RR999999995HK", 28))
    again = signed_in(app).get(R, base_url=PORTAL).text
    assert "RR999999995HK" in again
    assert "undelivered. Contact us if" not in again


def test_replaced_pin_envelope_is_no_longer_shown_as_posted_or_returned(app: Flask, api: StubAPI) -> None:
    name = "www.harbourlights.example.hk"
    course = [posted("RR123456785HK", 24, name), entry("pin-envelope-returned", reason="unclaimed")]
    made = renewal(state="awaiting-csrs", timeline=course)
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [order()]
    assert "undelivered. Contact us if" in signed_in(app).get(R, base_url=PORTAL).text
    made["timeline"].append(entry("pin-reissued", server_name=name))
    page = signed_in(app).get(R, base_url=PORTAL).text
    assert "undelivered. Contact us if" not in page
    assert "posted on 24" not in page
    assert "being printed" in page


def test_refund_is_shown(app: Flask, api: StubAPI) -> None:
    refunds = [{"id": ITEM, "item_id": None, "amount_minor": 250_000, "refunded_at": None}]
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="cancelled", refunds=refunds)
    page = signed_in(app).get(R, base_url=PORTAL).text
    assert "HK$2,500.00" in page
    assert "under way" in page


def test_acknowledgement_shows_submission_and_time(app: Flask, api: StubAPI) -> None:
    assert signed_in(app).get(f"{R}/acknowledgement", base_url=PORTAL).headers["Location"] == R
    submitted = renewal(state="awaiting-payment", submitted_at="2026-11-23T02:00:00+00:00")
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = submitted
    page = signed_in(app).get(f"{R}/acknowledgement", base_url=PORTAL).text.replace("<wbr>", "")
    for text in (
        "R-7KQ2-M8XD",
        "23 Nov 2026, 10:00",
        "www.harbourlights.example.hk",
        "d0d0",
        "HK$2,500.00",
        "2026-11-25",
    ):
        assert text in page


def test_answers_are_compared_with_the_current_state(app: Flask, api: StubAPI) -> None:
    page = signed_in(app).get(f"{R}/check", base_url=PORTAL).text
    assert "Changed" not in page
    made = renewal()
    made["items"][0] |= {"product": "wildcard", "additional_servers": 3}
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made
    today = subscription(product="wildcard", additional_servers=1)
    api.answers["GET", "/application/v1/subscriptions"] = [today]
    page = signed_in(app).get(f"{R}/check", base_url=PORTAL).text
    assert page.count("Changed") == 1
    assert "<strong>3</strong>" in page
    assert "6 January 2027" in page


def test_certificate_being_renewed_leads_to_that_renewal(app: Flask, api: StubAPI) -> None:
    api.answers["GET", "/application/v1/subscriptions"] = [subscription(reason="being-renewed", renewal_id=RENEWAL)]
    api.answers["GET", "/application/v1/renewals"] = []
    page = signed_in(app).get("/en/certificates", base_url=PORTAL)
    assert f'href="{R}"' in page.text
    assert "Being renewed" in page.text


def test_certificate_without_slack_has_a_warning_and_can_be_chosen(app: Flask, api: StubAPI) -> None:
    api.answers["GET", "/application/v1/subscriptions"] = [subscription(slack_days=-1)]
    page = signed_in(app).get("/en/certificates", base_url=PORTAL).text
    assert "Late" in page
    assert "to be safe" not in page
    assert 'value="0002310001"' in page
    chosen = signed_in(app).get("/en/certificates/renewal?srn=0002310001", base_url=PORTAL).text
    assert "(working days missing: 1)" in chosen


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("en", "Start by 9 December 2026 to be safe."),
        ("zh-hant", "請在2026年12月9日或之前開始續期"),
        ("zh-hans", "请在2026年12月9日或之前开始续期"),
    ],
)
@pytest.mark.parametrize("reason", [None, "too-early"])
def test_certificate_names_the_day_by_which_to_start(
    app: Flask, api: StubAPI, lang: str, text: str, reason: str | None
) -> None:
    api.answers["GET", "/application/v1/subscriptions"] = [subscription(slack_days=0, reason=reason)]
    page = signed_in(app).get(f"/{lang}/certificates", base_url=PORTAL).text
    assert text in page


@pytest.mark.parametrize(
    ("slack_days", "text"),
    [
        (2, "Working days to spare before it is late: 2."),
        (0, "Working days to spare before it is late: 0."),
        (-2, "is expected after the last paid day (working days missing: 2)"),
        (None, None),
    ],
)
@pytest.mark.parametrize("state", ["awaiting-payment", "awaiting-csrs", "on-hold"])
def test_status_says_whether_the_renewal_is_in_time(
    app: Flask, api: StubAPI, state: str, slack_days: int | None, text: str | None
) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state=state, slack_days=slack_days)
    page = signed_in(app).get(R, base_url=PORTAL).text
    assert text in page if text else "orking days" not in page


@pytest.mark.parametrize(
    ("lang", "day"), [("en", "9 October 2027"), ("zh-hant", "2027年10月9日"), ("zh-hans", "2027年10月9日")]
)
def test_certificate_whose_next_year_is_not_sold_yet_names_the_day(
    app: Flask, api: StubAPI, lang: str, day: str
) -> None:
    paid = subscription(reason="too-early", paid_until="2028-01-07", opens_on="2027-10-09")
    api.answers["GET", "/application/v1/subscriptions"] = [paid]
    page = signed_in(app).get(f"/{lang}/certificates", base_url=PORTAL).text
    assert day in page
    assert 'value="0002310001"' not in page


@pytest.mark.parametrize(
    ("lang", "lines"),
    [
        ("en", ["Base: HK$8,265.00", "Additional servers: 3 at HK$475.00 = HK$1,425.00", "Price list"]),
        ("zh-hant", ["基本費用：HK$8,265.00", "附加伺服器：3部，每部HK$475.00，共HK$1,425.00", "價目表"]),
        ("zh-hans", ["基本费用：HK$8,265.00", "附加服务器：3台，每台HK$475.00，共HK$1,425.00", "价目表"]),
    ],
)
def test_check_lists_what_a_fee_is_made_of(app: Flask, api: StubAPI, lang: str, lines: list[str]) -> None:
    draft = renewal()
    draft["items"][0]["quote"] = [
        {"kind": "base", "number": 1, "unit_minor": 826_500, "amount_minor": 826_500},
        {"kind": "additional-servers", "number": 3, "unit_minor": 47_500, "amount_minor": 142_500},
    ]
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = draft
    page = signed_in(app).get(f"/{lang}/renewals/{RENEWAL}/check", base_url=PORTAL).text
    assert [line for line in lines if line not in page] == []


def test_check_names_the_period_that_the_fee_pays_for(app: Flask) -> None:
    page = signed_in(app).get(f"/en/renewals/{RENEWAL}/check", base_url=PORTAL).text
    assert "from 7 January 2027 to 6 January 2028" in page

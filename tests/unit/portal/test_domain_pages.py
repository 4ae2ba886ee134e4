"""Pages of domain control: values to publish, results of checks, CAA records in the way, and checks on request."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from portal import domain_words, domains
from tests.unit.portal.domain_states import FORBIDDEN, NAMES, SEEN, everything, having, query
from tests.unit.portal.stub_api import (
    HOST,
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    domain,
    full_api,
    order,
    portal,
    problem,
    proved,
    renewal,
    signed_in,
)

R = f"/en/renewals/{RENEWAL}"
PAGE = f"{R}/domains"
FORM = {"csrf": "the-form-token", "once": "a" * 32}
BEGIN = ("POST", "/issuance/v1/domains")


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def shown(app: Flask, path: str = PAGE) -> str:
    answer = signed_in(app).get(path, base_url=PORTAL)
    assert answer.status_code == 200
    return answer.text.replace("<wbr>", "")


def sent(api: StubAPI, method: str, path: str) -> list[Any]:
    return [each.body for each in api.asked if (each.method, urlsplit(each.path).path) == (method, path)]


def test_page_shows_each_place_for_the_value(app: Flask, api: StubAPI) -> None:
    page, put = shown(app), domain()["instructions"]
    assert all(f"<code>{text}</code>" in page for text in put.values())
    assert "23 Dec 2126, 09:00" in page
    assert sent(api, *BEGIN) == []


@pytest.mark.parametrize(
    "known",
    [
        [],
        [domain(domain="mail.example.hk")],
        [domain(domain="mail.example.hk"), domain(domain="shop.example.hk", value_until="2020-01-01T00:00:00+00:00")],
    ],
    ids=["none", "one", "value ends"],
)
def test_domain_without_a_usable_value_gets_one(app: Flask, api: StubAPI, known: list[dict[str, Any]]) -> None:
    names = ["mail.example.hk", "*.shop.example.hk"]
    begun = [domain(domain="shop.example.hk"), domain(domain="mail.example.hk")]
    api.answers |= having(names, known) | {BEGIN: begun}
    page = shown(app)
    assert sent(api, *BEGIN) == [{"server_names": [*names, "shop.example.hk"]}]
    assert page.index("_validation.mail.example.hk") < page.index("_validation.shop.example.hk")


def test_proved_domain_keeps_its_old_value(app: Flask, api: StubAPI) -> None:
    old = proved(domain="mail.example.hk", value_until="2020-01-01T00:00:00+00:00")
    api.answers |= having(["mail.example.hk"], [old])
    page = shown(app)
    assert sent(api, *BEGIN) == []
    assert "9 Jun 2027, 10:00" in page
    assert "_validation." not in page


def test_wildcard_has_no_file_and_long_name_no_record(app: Flask, api: StubAPI) -> None:
    wildcard = domain(domain="shop.example.hk", server_names=["*.shop.example.hk"])
    api.answers |= having(["*.shop.example.hk"], [wildcard])
    assert ("ecert.txt" in (page := shown(app)), "_validation.shop" in page) == (False, True)
    long = domain(domain="shop.example.hk")
    long["instructions"]["record_name"] = None
    api.answers |= having(["shop.example.hk"], [long])
    assert ("ecert.txt" in (page := shown(app)), "_validation" in page) == (True, False)


def test_last_check_is_shown_with_values_reasons_and_observers(app: Flask, api: StubAPI) -> None:
    checked = {"checked_at": "2026-11-23T02:00:00+00:00", "seen": SEEN, "quorum": "3/5", "reason": "not-corroborated"}
    api.answers |= having(["mail.example.hk"], [domain(domain="mail.example.hk", **checked)])
    page = shown(app)
    for text in ("3 of 5", "too few of its observers", "v=spf1", "Not found", "cannot be reached on port 80"):
        assert text in page


def test_forbidding_caa_record_is_shown_with_the_one_that_permits(app: Flask, api: StubAPI) -> None:
    found = proved(domain="shop.example.hk", server_names=["*.shop.example.hk"], caa=[FORBIDDEN])
    api.answers |= having(["*.shop.example.hk"], [found])
    page = shown(app)
    assert "shop.example.hk CAA 0 issuewild &#34;letsencrypt.org&#34;" in page
    assert "shop.example.hk CAA 0 issuewild &#34;hongkongpost.gov.hk&#34;" in page
    assert "Check now" in page


@pytest.mark.parametrize(
    ("reason", "record", "permitting"),
    [
        ("caa-other-issuer", 'hk CAA 0 issue "x.org"', 'hk CAA 0 issue "ours.hk"'),
        ("caa-forbids-all", 'a.hk CAA 128 issuewild ";"', 'a.hk CAA 0 issuewild "ours.hk"'),
        ("caa-other-account", None, 'w.a.hk CAA 0 issue "ours.hk"'),
        ("caa-value-unparsable", "a b c", 'w.a.hk CAA 0 issue "ours.hk"'),
        ("caa-unknown-critical-tag", 'a.hk CAA 128 tbs "x"', None),
        ("dns-servfail", None, None),
        ("not-corroborated", None, None),
    ],
)
def test_permitting_record_has_owner_and_tag_of_the_forbidding_one(
    reason: str, record: str | None, permitting: str | None
) -> None:
    against = {"server_name": "*.w.a.hk", "kind": "caa", "reason": reason, "record": record}
    assert domain_words.permitting_record(against, "ours.hk") == permitting


def test_page_reloads_while_a_domain_is_being_checked(app: Flask, api: StubAPI) -> None:
    assert "Refresh" not in signed_in(app).get(PAGE, base_url=PORTAL).headers
    api.answers[query([HOST])] = [domain(state="checking")]
    answer = signed_in(app).get(PAGE, base_url=PORTAL)
    assert (answer.headers["Refresh"], "Check now" in answer.text) == ("5", False)
    assert "Refresh" not in signed_in(app).get(f"{PAGE}?refresh=off", base_url=PORTAL).headers
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="awaiting-payment")
    assert signed_in(app).get(R, base_url=PORTAL).headers["Refresh"] == "5"


def test_check_is_asked_for_domains_of_the_renewal_alone(app: Flask, api: StubAPI) -> None:
    api.answers |= having(NAMES, everything())
    for name in ("mail.example.hk", "shop.example.hk"):
        api.answers["POST", f"/issuance/v1/domains/{name}/checks"] = domain(domain=name)
    chosen = ["mail.example.hk", "shop.example.hk", "*.shop.example.hk", "stranger.hk", "../../orders"]
    for _ in range(2):
        answer = signed_in(app).post(PAGE, data={**FORM, "domain": chosen}, base_url=PORTAL)
        assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    asked = [(each.path, each.key) for each in api.asked if each.method == "POST"]
    assert asked[:2] == asked[2:]
    assert [path for path, _ in asked[:2]] == [
        "/issuance/v1/domains/mail.example.hk/checks",
        "/issuance/v1/domains/shop.example.hk/checks",
    ]
    assert len({key for _, key in asked}) == 2


def test_long_list_has_parts_and_a_check_leads_back_to_its_own(app: Flask, api: StubAPI) -> None:
    names = [f"n{number:02}.example.hk" for number in range(45)]
    api.answers |= having(names, [domain(domain=name) for name in names])
    api.answers["POST", "/issuance/v1/domains/n44.example.hk/checks"] = domain(state="checking")
    assert ("n19.example.hk" in (page := shown(app)), "n20.example.hk" in page) == (True, False)
    assert page.count("?part=") == 2
    for last in ("3", "99"):
        page = shown(app, f"{PAGE}?part={last}")
        assert ("n39.example.hk" in page, "n44.example.hk" in page) == (False, True)
    for odd in ("0", "-1", "x"):
        assert "n00.example.hk" in shown(app, f"{PAGE}?part={odd}")
    answer = signed_in(app).post(f"{PAGE}?part=3", data={**FORM, "domain": "n44.example.hk"}, base_url=PORTAL)
    assert answer.headers["Location"] == f"{PAGE}?part=3"


def test_refused_check_says_what_to_do(app: Flask, api: StubAPI) -> None:
    path = f"/issuance/v1/domains/{HOST}/checks"
    for answer, text in ((problem(429, "too-many-requests"), "wait a minute"), (None, "Nothing is lost")):
        api.answers["POST", path] = answer
        page = signed_in(app).post(PAGE, data={**FORM, "domain": HOST}, base_url=PORTAL).text
        assert text in page


@pytest.mark.parametrize("state", ["completed", "cancelled", "expired", "refused", "withholding"])
def test_ended_renewal_has_no_domains_to_prove(app: Flask, api: StubAPI, state: str) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state=state)
    assert signed_in(app).get(PAGE, base_url=PORTAL).headers["Location"] == R
    assert PAGE not in shown(app, R)


@pytest.mark.parametrize(
    ("names", "found", "status"),
    [
        (["mail.example.hk"], [], "Not begun"),
        (["mail.example.hk"], [domain(domain="mail.example.hk")], "0 of 1 proved"),
        (["mail.example.hk"], [domain(domain="mail.example.hk", state="checking")], "Being checked"),
        (["mail.example.hk"], [proved(domain="mail.example.hk")], "All proved until 9 June 2027"),
        (["*.b.hk", "b.hk", "c.hk"], [proved(domain="b.hk"), domain(domain="c.hk")], "1 of 2 proved"),
        (["shop.example.hk"], [proved(domain="shop.example.hk", caa=[FORBIDDEN])], "A CAA record forbids it"),
        (["mail.example.hk"], None, "Not known just now"),
    ],
)
def test_draft_says_how_far_its_domains_are_and_signing_stays_open(
    app: Flask, api: StubAPI, names: list[str], found: Any, status: str
) -> None:
    api.answers |= having(names, found)
    page = shown(app, R)
    assert status in page
    assert f'href="{PAGE}"' in page
    assert f'href="{R}/sign"' in page


def test_status_page_says_what_is_missing_until_when(app: Flask, api: StubAPI) -> None:
    missing = [{"server_name": HOST, "kind": "validation", "reason": "record-missing", "record": None}]
    made = renewal(state="awaiting-csrs", deadline="2027-02-23T02:00:00+00:00")
    made["items"][0] |= {"state": "csr-received", "obstacles": missing, "waits_until": "2027-01-20T02:00:00+00:00"}
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made
    for orders in ([order(state="csr-received", obstacles=missing)], []):
        api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = orders
        answer = signed_in(app).get(R, base_url=PORTAL)
        assert "Refresh" not in answer.headers
        for text in ("What is missing", "Neither record nor file", "waits for it until 20 Jan 2027, 10:00", PAGE):
            assert text in answer.text
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [order(state="csr-received", obstacles=missing)]
    order_page = signed_in(app).get(f"{R}/orders/{ITEM}", base_url=PORTAL)
    assert "What is missing" in order_page.text
    assert "Refresh" not in order_page.headers


def test_obstacles_of_an_issued_certificate_are_not_shown(app: Flask, api: StubAPI) -> None:
    missing = [{"server_name": HOST, "kind": "validation", "reason": "record-missing", "record": None}]
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state="awaiting-csrs")
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [order(state="issued", obstacles=missing)]
    assert "What is missing" not in shown(app, R)


def test_many_names_are_asked_in_requests_that_fit_into_a_line(app: Flask, api: StubAPI) -> None:
    names = [f"{prefix}{number:03}.{'a' * 60}.example.hk" for number in range(150) for prefix in ("n", "*.n")]
    made = renewal()
    made["items"][0]["server_names"] = names
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = made

    class Answers(dict[Any, Any]):
        """Answers each request with the domains of its names."""

        def get(self, key: Any, default: Any = None) -> Any:
            path = urlsplit(key[1])
            if key[0] == "GET" and path.path == "/issuance/v1/domains":
                assert len(key[1]) < 4000
                asked = {domains.domain_of(name) for name in parse_qs(path.query)["server_name"]}
                return [proved(domain=name) for name in asked]
            return super().get(key, default)

    api.answers = Answers(api.answers)
    assert "All proved until" in shown(app)
    assert sum(each.path.startswith("/issuance/v1/domains?") for each in api.asked) > 5

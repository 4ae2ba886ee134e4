"""Content and requests of the pages, on a stubbed API."""

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from flask import Flask

from portal import languages, messages
from portal.vendors import TOKEN_VENDORS
from tests.unit.portal.stub_api import (
    CERTIFICATE,
    ITEM,
    PORTAL,
    RENEWAL,
    StubAPI,
    browser,
    full_api,
    order,
    portal,
    problem,
    renewal,
    signed_in,
    subscription,
)

R = f"/en/renewals/{RENEWAL}"
ORDER = f"{R}/orders/{ITEM}"
CSR = f"{ORDER}/csr"
PUBLIC = [
    "/en/",
    "/en/help",
    "/en/contact",
    "/en/sitemap",
    "/en/accessibility",
    "/en/privacy",
    "/en/terms",
    "/en/test-e-cert",
    "/en/test-e-cert/file",
    "/en/sign-in",
    "/en/sign-in/file",
]
OWN = [
    "/en/certificates",
    "/en/certificates/renewal?srn=0002310001",
    R,
    f"{R}/check",
    f"{R}/sign",
    f"{R}/cancel",
    CSR,
]


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


class _Links(HTMLParser):
    """The addresses a page names, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.main_headings = 0
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value for name in ("href", "src", "action") if (value := given.get(name))]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.main_headings += tag == "h1"
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag in ("script", "style"):
            self.inline += [] if given.get("src") else [tag]


def _read(page: str) -> _Links:
    links = _Links()
    links.feed(page)
    return links


@pytest.mark.parametrize("path", [*PUBLIC, *OWN])
@pytest.mark.parametrize("edition", ["en", "en/text", "zh-hant", "zh-hans"])
def test_every_page_has_one_heading_no_double_id_nothing_inline_and_nothing_of_others(
    app: Flask, path: str, edition: str
) -> None:
    page = signed_in(app).get(path.replace("/en", f"/{edition}", 1), base_url=PORTAL)
    assert page.status_code == 200
    read = _read(page.text)
    assert read.main_headings == 1
    assert len(read.ids) == len(set(read.ids))
    assert read.inline == []
    own = [a for a in read.addresses if not a.startswith(("https://cpl.thales", "https://www.ftsafe", "mailto:"))]
    assert all(a.startswith(("/", "#", "?", "data:,")) for a in own)


@pytest.mark.parametrize("path", [*PUBLIC, *OWN])
def test_home_contact_sitemap_languages_and_text_mode_are_on_every_page(app: Flask, path: str) -> None:
    addresses = _read(signed_in(app).get(path, base_url=PORTAL).text).addresses
    assert {"/en/", "/en/contact", "/en/sitemap"} <= set(addresses)
    for edition in ("zh-hant", "zh-hans", "en/text"):
        assert path.replace("/en", f"/{edition}", 1) in addresses


@pytest.mark.parametrize(
    ("accepted", "path"),
    [
        ("zh-HK,zh;q=0.9", "/zh-hant/"),
        ("zh-CN", "/zh-hans/"),
        ("zh", "/zh-hans/"),
        ("fr", "/en/"),
        ("yue", "/zh-hant/"),
    ],
)
def test_root_address_redirects_to_the_browsers_language(app: Flask, accepted: str, path: str) -> None:
    answer = app.test_client().get("/", base_url=PORTAL, headers={"Accept-Language": accepted})
    assert answer.headers["Location"] == path


def test_text_mode_has_no_image_and_stays_on_every_link(app: Flask) -> None:
    page = signed_in(app).get("/en/text/certificates", base_url=PORTAL).text
    assert "<img" not in page
    assert 'class="govuk-template portal-text"' in page
    inner = [a for a in _read(page).addresses if a.startswith("/en/") and a != "/en/certificates"]
    assert inner
    assert all(a.startswith("/en/text/") for a in inner)


@pytest.mark.parametrize("path", OWN)
def test_page_that_needs_a_session_leads_through_the_sign_in_and_back(app: Flask, path: str) -> None:
    answer = browser(app).get(path, base_url=PORTAL)
    assert answer.status_code == 303
    page = browser(app).get(answer.headers["Location"], base_url=PORTAL)
    start = next(a for a in _read(page.text).addresses if "/sign-in/start" in a)
    assert start == f"/en/sign-in/start?next={quote(path, safe='/?')}"


def test_expired_token_leads_through_the_sign_in_and_back(app: Flask, api: StubAPI) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = problem(401, "token-refused")
    answer = signed_in(app).get(f"{R}/sign", base_url=PORTAL)
    assert answer.headers["Location"].startswith("/en/sign-in?next=")
    assert "problem=session-ended" in answer.headers["Location"]


def test_draft_request_has_the_pages_language_and_the_forms_key(app: Flask, api: StubAPI) -> None:
    form = {"csrf": "the-form-token", "once": "a" * 32, "srn": "0002310001"}
    answer = signed_in(app).post("/zh-hant/certificates/renewal", data=form, base_url=PORTAL)
    assert answer.headers["Location"] == f"/zh-hant/renewals/{RENEWAL}"
    asked = api.asked[-1]
    assert (asked.body, asked.key) == ({"items": [{"srn": "0002310001"}], "language": "zh-Hant"}, "a" * 32)


def test_empty_choice_is_an_error_beside_the_field(app: Flask) -> None:
    client = signed_in(app)
    answer = client.get("/en/certificates/renewal", base_url=PORTAL)
    page = client.get(answer.headers["Location"], base_url=PORTAL)
    assert page.status_code == 422
    assert "<title>Error: My certificates" in page.text
    assert 'href="#srn"' in page.text
    assert 'id="srn"' in page.text


def test_additional_servers_of_a_wildcard_are_requested_and_validated(app: Flask, api: StubAPI) -> None:
    wildcard = subscription(product="wildcard", server_names=["*.shop.example.hk"], additional_servers=2)
    api.answers["GET", "/application/v1/subscriptions"] = [wildcard]
    client = signed_in(app)
    form = {"csrf": "the-form-token", "srn": "0002310001", "servers-0002310001": "many"}
    page = client.post("/en/certificates/renewal", data=form, base_url=PORTAL)
    assert page.status_code == 422
    assert 'value="many"' in page.text
    assert 'href="#servers-0002310001"' in page.text
    client.post("/en/certificates/renewal", data=form | {"servers-0002310001": "3"}, base_url=PORTAL)
    assert api.asked[-1].body["items"] == [{"srn": "0002310001", "additional_servers": 3}]


def test_refused_draft_shows_the_reason_and_the_certificate(app: Flask, api: StubAPI) -> None:
    refused = problem(409, "not-eligible", srn="0002310001", reason="being-renewed")
    api.answers["POST", "/application/v1/renewals"] = refused
    form = {"csrf": "the-form-token", "srn": "0002310001"}
    page = signed_in(app).post("/en/certificates/renewal", data=form, base_url=PORTAL)
    assert "SRN 0002310001: A renewal is under way" in page.text


@pytest.mark.parametrize("state", list(messages.STATES))
def test_every_state_of_a_renewal_has_a_page(app: Flask, api: StubAPI, state: str) -> None:
    api.answers["GET", f"/application/v1/renewals/{RENEWAL}"] = renewal(state=state)
    page = signed_in(app).get(R, base_url=PORTAL)
    assert page.status_code == 200
    assert state == "draft" or messages.STATES[state] in page.text


@pytest.mark.parametrize("state", ["csr-received", "issuing", "issued", "accepted", "refused", "withheld"])
def test_every_state_of_an_order_has_a_page(app: Flask, api: StubAPI, state: str) -> None:
    certificate = CERTIFICATE if state in ("issued", "accepted") else None
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [order(state=state, certificate=certificate)]
    page = signed_in(app).get(ORDER, base_url=PORTAL)
    assert page.status_code == 200
    assert ("Download the certificate" in page.text) is (certificate is not None)
    assert ("Accept the certificate" in page.text) is (state == "issued")


def test_certificates_file_is_named_after_the_server_and_nothing_else(app: Flask, api: StubAPI) -> None:
    odd = order(state="issued", server_names=['*.x"\r\n.example.hk'])
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [odd]
    answer = signed_in(app).get(f"{ORDER}/certificate", base_url=PORTAL)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="wildcard.x.example.hk-R-7KQ2-M8XD-1.pem"'


@pytest.mark.parametrize(
    ("path", "form", "file", "media_type"),
    [
        ("", "chain", ".pem", "application/pem-certificate-chain"),
        (".p7b", "pkcs7", ".p7b", "application/x-pkcs7-certificates"),
        (".pem", "pem", ".pem", "application/x-pem-file"),
        (".cer", "der", ".cer", "application/pkix-cert"),
    ],
)
def test_certificate_is_offered_in_each_form_of_the_api(
    app: Flask, api: StubAPI, path: str, form: str, file: str, media_type: str
) -> None:
    api.answers["GET", f"/issuance/v1/orders/{ITEM}/certificate/{form}"] = b"the file"
    issued = order(state="issued", certificate=CERTIFICATE)
    api.answers["GET", f"/issuance/v1/renewals/{RENEWAL}/orders"] = [issued]
    assert f'{ORDER}/certificate{path}"' in signed_in(app).get(ORDER, base_url=PORTAL).text
    answer = signed_in(app).get(f"{ORDER}/certificate{path}", base_url=PORTAL)
    assert (answer.data, answer.content_type) == (b"the file", media_type)
    assert answer.headers["Content-Disposition"].endswith(f'{file}"')


def test_unavailable_api_gives_an_error_page(app: Flask, api: StubAPI) -> None:
    api.answers["GET", "/application/v1/subscriptions"] = None
    page = signed_in(app).get("/en/certificates", base_url=PORTAL)
    assert page.status_code == 503
    assert "Nothing is lost" in page.text


def test_times_are_shown_in_hong_kong_time(app: Flask) -> None:
    with app.test_request_context():
        assert languages.day("2026-11-23T20:00:00+00:00") == "24 November 2026"
        assert languages.clock("2026-11-23T20:00:00+00:00") == "24 Nov 2026, 04:00"
        assert re.fullmatch(r"HK\$2,500\.00", languages.money(250_000))


def test_start_page_lists_requirements_of_every_browser_and_token(app: Flask) -> None:
    page = browser(app).get("/en/", base_url=PORTAL).text
    for key in ("usb", "windows", "macos", "linux", "firefox", "token"):
        assert f'id="{key}"' in page
    for vendor in TOKEN_VENDORS:
        assert vendor.url in page
    for said in (
        "<title>Certificate Renewal - e-Cert (Server)",
        "online application",
        "any post office",
        "at least one month",
    ):
        assert said in page
    for text in (
        "Apply Now",
        "Test my e-Cert",
        "Firefox 115 ESR",
        "registered mail",
        "Submission of Certificate Signing",
    ):
        assert text in page

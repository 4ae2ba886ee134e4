"""The terms and fees as the API publishes them: shown where they count, and never others than were agreed to."""

import hashlib
import json

import pytest
from flask import Flask

from tests.unit.portal.stub_api import DOCUMENT, PORTAL, RENEWAL, TERMS, StubAPI, browser, full_api, portal, signed_in


@pytest.fixture
def api() -> StubAPI:
    return full_api()


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def test_terms_are_shown_at_the_agreement_in_the_pages_language(app: Flask) -> None:
    page = signed_in(app).get(f"/zh-hant/renewals/{RENEWAL}/check", base_url=PORTAL).text
    assert "1. 保密。" in page
    assert 'href="/en/terms/2026-11-25"' in page


def test_terms_of_another_version_are_not_shown(app: Flask, api: StubAPI) -> None:
    api.answers["GET", "/application/v1/terms/2026-11-25"] = TERMS | {"texts": {"en": "Terms\n\n1. Pay more."}}
    page = signed_in(app).get(f"/en/renewals/{RENEWAL}/check", base_url=PORTAL)
    assert page.status_code == 503
    assert "Pay more" not in page.text


def test_terms_file_is_the_bytes_that_were_hashed(app: Flask) -> None:
    answer = browser(app).get("/terms/2026-11-25.json", base_url=PORTAL)
    assert hashlib.sha256(answer.data).hexdigest() == DOCUMENT["terms"]["sha256"]
    assert json.loads(answer.data) == TERMS


def test_version_that_was_never_published_is_not_found(app: Flask, api: StubAPI) -> None:
    assert browser(app).get("/en/terms/2001-01-01", base_url=PORTAL).status_code == 404


@pytest.mark.parametrize("version", ["..%2Fprices", "2026-11-25%3Fx=1", "%0d%0a", "x"])
def test_malformed_version_is_not_requested(app: Flask, api: StubAPI, version: str) -> None:
    assert browser(app).get(f"/en/terms/{version}", base_url=PORTAL).status_code == 404
    assert api.asked == []


def test_published_data_is_cached(app: Flask, api: StubAPI) -> None:
    client = browser(app)
    for _ in range(3):
        assert client.get("/en/terms", base_url=PORTAL).status_code == 200
    assert len(api.asked) == 1


def test_start_page_shows_the_fees_in_force(app: Flask, api: StubAPI) -> None:
    page = browser(app).get("/en/", base_url=PORTAL).text
    assert [fee for fee in ("HK$8,265.00", "HK$475.00 an additional server", "a server name") if fee not in page] == []


def test_start_page_works_without_the_fees(app: Flask, api: StubAPI) -> None:
    api.answers["GET", "/application/v1/prices"] = None
    client = browser(app)
    for _ in range(2):
        page = client.get("/en/", base_url=PORTAL)
        assert (page.status_code, "You see it before you sign" in page.text) == (200, True)
    assert len(api.asked) == 1

"""Size of the responses: small, the signing script where something is signed only, and never a page compressed."""

import gzip
import re

import pytest
from flask import Flask

from tests.unit.portal.page_states import EDITIONS, State, states
from tests.unit.portal.stub_api import PORTAL, StubAPI, browser, full_api, portal

MOST = 100_000
MOST_SIGNING = 110_000
ASSET = re.compile(r'(?:src|href)="(/static/[^"]+)"')


@pytest.fixture
def app() -> Flask:
    return portal(full_api())


def wire(app: Flask, address: str) -> int:
    """Return the bytes of an answer to a browser of today."""
    answer = browser(app).get(address, base_url=PORTAL, headers={"Accept-Encoding": "gzip, deflate, br"}, buffered=True)
    assert answer.status_code == 200
    return len(answer.data)


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_every_page_with_its_assets_is_small(state: State) -> None:
    for edition in EDITIONS:
        page = state.show(edition).text
        assets = [address for address in ASSET.findall(page) if "/signing.js" not in address]
        app = portal(StubAPI())
        assert len(page.encode()) + sum(wire(app, address) for address in assets) < MOST


@pytest.mark.parametrize("state", states(), ids=lambda state: state.name)
def test_signing_script_is_on_the_pages_that_sign_only_and_never_in_text_mode(state: State) -> None:
    signs = "data-sign hidden inert" in state.show("en").text
    assert ("/signing.js" in state.show("en").text) is signs
    assert "<script" not in state.show("en/text").text


def test_signing_script_is_small(app: Flask) -> None:
    assert wire(app, "/static/signing.js") < MOST_SIGNING


def test_assets_are_compressed_for_clients_that_accept_it(app: Flask) -> None:
    client = browser(app)
    plain = client.get("/static/portal.css", base_url=PORTAL, buffered=True)
    small = client.get("/static/portal.css", base_url=PORTAL, headers={"Accept-Encoding": "gzip"}, buffered=True)
    assert gzip.decompress(small.data) == plain.data
    assert (small.headers["Content-Encoding"], small.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    assert int(small.headers["Content-Length"]) == len(small.data)
    assert small.headers["ETag"] != plain.headers["ETag"]


def test_pages_with_secrets_are_not_compressed(app: Flask) -> None:
    answer = browser(app).get("/en/help", base_url=PORTAL, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["nothing.css", "../app.py", "%2e%2e/app.py", "x/../../app.py"])
def test_file_that_is_not_among_the_assets_is_not_found(app: Flask, path: str) -> None:
    answer = browser(app).get(f"/static/{path}", base_url=PORTAL, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 404


def test_every_spelling_of_an_asset_path_is_the_same_file(app: Flask) -> None:
    assert wire(app, "/static/x/../portal.css") == wire(app, "/static/portal.css")

"""Parents of a renewal's domains: which are offered, their record, and the check that proves all below at once."""

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from flask import Flask

from tests.unit.portal.domain_states import having, under
from tests.unit.portal.stub_api import PORTAL, RENEWAL, StubAPI, domain, full_api, portal, proved, signed_in

PAGE = f"/en/renewals/{RENEWAL}/domains"
FORM = {"csrf": "the-form-token", "once": "a" * 32}
NAMES = ["mail.example.hk", "www.example.hk"]
OF_PARENT = ("GET", "/issuance/v1/domains?server_name=%2A.example.hk")
BEGIN = ("POST", "/issuance/v1/domains")
OFFER = "once instead of each name"


@pytest.fixture
def api() -> StubAPI:
    api = full_api()
    api.answers |= having(NAMES, under("example.hk", *NAMES)) | {OF_PARENT: []}
    return api


@pytest.fixture
def app(api: StubAPI) -> Flask:
    return portal(api)


def shown(app: Flask, path: str = PAGE) -> str:
    return signed_in(app).get(path, base_url=PORTAL).text.replace("<wbr>", "")


def chosen(app: Flask, **form: str) -> int:
    return signed_in(app).post(PAGE, data={**FORM, **form}, base_url=PORTAL).status_code


def sent(api: StubAPI) -> list[tuple[str, Any]]:
    return [(urlsplit(each.path).path, each.body) for each in api.asked if each.method == "POST"]


def with_parents(*parents: str, **changed: Any) -> dict[str, Any]:
    return domain(**changed) | {"parents": list(parents)}


@pytest.mark.parametrize(
    ("found", "offered"),
    [
        (under("example.hk", *NAMES), ["example.hk: 2"]),
        (under("example.hk", "mail.example.hk"), []),
        ([proved(domain=NAMES[0], parents=["example.hk"]), *under("example.hk", NAMES[1])], []),
        (
            [
                with_parents("eu.example.hk", "example.hk", domain="a.eu.example.hk"),
                with_parents("eu.example.hk", "example.hk", domain="b.eu.example.hk"),
            ],
            ["eu.example.hk: 2"],
        ),
        (
            [
                with_parents("eu.example.hk", "example.hk", domain="a.eu.example.hk"),
                with_parents("eu.example.hk", "example.hk", domain="b.eu.example.hk"),
                *under("example.hk", "www.example.hk"),
            ],
            ["example.hk: 3", "eu.example.hk: 2"],
        ),
        (
            [each for n in range(5) for each in under(f"z{n}.hk", f"a.z{n}.hk", f"b.z{n}.hk")],
            ["z0.hk: 2", "z1.hk: 2", "z2.hk: 2"],
        ),
        ([{k: v for k, v in domain(domain=name).items() if k != "parents"} for name in NAMES], []),
    ],
    ids=["two", "one", "one left", "nearest", "two parents", "at most three", "issuance of the version before"],
)
def test_parent_of_two_domains_without_proof_is_offered(
    app: Flask, api: StubAPI, found: list[dict[str, Any]], offered: list[str]
) -> None:
    api.answers |= having([each["domain"] for each in found], found)
    names = [each.partition(":")[0] for each in offered]
    api.answers["GET", f"/issuance/v1/domains?{urlencode([('server_name', f'*.{name}') for name in names])}"] = []
    page = shown(app)
    assert re.findall(r"Prove (\S+) once instead", page) == names
    assert len(re.findall(r'name="parent"', page)) == len(names)
    assert re.findall(r"covers (\d) of", page) == [each[-1] for each in offered]


def test_parent_gets_a_value_that_only_a_record_uses(app: Flask, api: StubAPI) -> None:
    api.answers[BEGIN] = [domain(domain="example.hk")]
    assert chosen(app, parent="example.hk") == 303
    assert sent(api) == [("/issuance/v1/domains", {"server_names": ["*.example.hk"]})]
    api.answers[OF_PARENT] = [domain(domain="example.hk")]
    page = shown(app)
    assert "_validation.example.hk" in page
    assert "http://example.hk/" not in page
    assert 'name="parent"' not in page


def test_parent_is_looked_at_while_the_page_loads_itself_again(app: Flask, api: StubAPI) -> None:
    api.answers["POST", "/issuance/v1/domains/example.hk/checks"] = domain(domain="example.hk", state="checking")
    assert chosen(app, domain="example.hk") == 303
    assert [path for path, _ in sent(api)] == ["/issuance/v1/domains/example.hk/checks"]
    api.answers[OF_PARENT] = [domain(domain="example.hk", state="checking")]
    assert signed_in(app).get(PAGE, base_url=PORTAL).headers["Refresh"] == "5"


def test_parent_whose_value_has_ended_is_offered_again(app: Flask, api: StubAPI) -> None:
    api.answers[OF_PARENT] = [domain(domain="example.hk", value_until="2020-01-01T00:00:00+00:00")]
    assert 'value="example.hk"' in (page := shown(app))
    assert "_validation.example.hk" not in page


def test_parent_in_the_renewal_has_its_record_in_the_list(app: Flask, api: StubAPI) -> None:
    names = [*(f"a{number:02}.example.hk" for number in range(21)), "example.hk"]
    api.answers |= having(names, under("example.hk", *names))
    page = shown(app)
    assert f'href="{PAGE}?part=2#of-example.hk"' in page
    assert 'name="parent"' not in page
    assert 'id="of-example.hk"' in (last := shown(app, f"{PAGE}?part=2"))
    assert OFFER not in last


@pytest.mark.parametrize("field", ["parent", "domain"])
@pytest.mark.parametrize("name", ["stranger.hk", "ample.hk", "deep.mail.example.hk", "", "*.example.hk"])
def test_domain_above_no_name_of_the_renewal_is_not_begun(app: Flask, api: StubAPI, field: str, name: str) -> None:
    assert chosen(app, **{field: name}) == 303
    assert sent(api) == []

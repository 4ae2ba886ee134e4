"""Staff find a certificate by whatever somebody quotes, and see what waits, what was issued and what was refused."""

import re

import pytest

from shared.events.application import RenewalCancelled
from shared.events.issuance import CertificateRevoked, IssuanceRefused, IssuanceWithheld
from tests.integration.backoffice.desk.world import CHAN, Renewal, World
from tests.support.builders import NOW

FIRST, SECOND = "E-AAAAAAAAAA", "E-BBBBBBBBBB"


@pytest.fixture
def renewal(world: World) -> Renewal:
    renewal = Renewal()
    world.apply(*renewal.asked(), renewal.csr(), renewal.issued())
    return renewal


def found(world: World, text: str) -> list[str]:
    page = world.client("lau-wing-yan").get("/", query_string={"q": text})
    assert page.status_code == 200
    return re.findall(r">(E-[A-Z]{10})</a>", page.text)


@pytest.mark.parametrize(
    "text",
    [
        *(FIRST, "e-aaaaaaaaaa", "E-AAAA", "0002310001", "2310001", "www.harbourlights.example.hk"),
        *("https://www.harbourlights.example.hk/", "RA123456780HK"),
    ],
)
def test_certificate_is_found_by_each_of_its_names(world: World, renewal: Renewal, text: str) -> None:
    assert found(world, text) == [FIRST]


@pytest.mark.parametrize(
    "spelt",
    [lambda s: s, str.upper, lambda s: f"serial={s.upper()}", lambda s: f"0x{s}", lambda s: f"Serial Number: {s}"],
)
def test_certificate_is_found_by_its_serial_number(world: World, renewal: Renewal, spelt: object) -> None:
    [(serial,)] = world.rows("SELECT serial FROM items WHERE serial IS NOT NULL")
    assert callable(spelt)
    assert found(world, spelt(serial)) == [FIRST]
    pairs = f"{serial if len(serial) % 2 == 0 else '0' + serial}"
    assert found(world, ":".join(re.findall("..", pairs)).upper()) == [FIRST]


@pytest.mark.parametrize(
    "text", ["R-ABCDEFGHIJ", "harbourlights.example.hk", "example.hk", "https://portal.ecert.localhost/renewals/{id}"]
)
def test_name_of_a_renewal_or_zone_finds_all_its_certificates(world: World, renewal: Renewal, text: str) -> None:
    assert sorted(found(world, text.format(id=renewal.id))) == [FIRST, SECOND]


def test_internationalised_name_is_found_as_people_write_it_and_shown_both_ways(world: World, renewal: Renewal) -> None:
    assert found(world, "商店.例子.香港") == [SECOND]
    page = world.client().get("/", query_string={"q": "xn--czrs0t.xn--fsqu00a.xn--j6w193g"})
    assert "商店.例子.香港 (xn--czrs0t.xn--fsqu00a.xn--j6w193g)" in page.text.replace("<wbr>", "")


@pytest.mark.parametrize("text", ["E-ZZZZZZZZZZ", "%", "_", "%.hk", "lights.example.hk", "\\", "'", "<b>"])
def test_search_for_anything_else_is_empty(world: World, renewal: Renewal, text: str) -> None:
    assert found(world, text) == []


def test_subscribers_chinese_name_is_shown_as_it_is(world: World, renewal: Renewal) -> None:
    page = world.client().get("/", query_string={"q": FIRST})
    assert 'Limited <span lang="zh-Hant">海港燈飾貿易有限公司</span>' in page.text
    assert CHAN.address[0] not in page.text


def listed(world: World, standing: str) -> list[str]:
    return re.findall(r"E-[A-Z]{10}", world.client().get(f"/certificates/{standing}").text)


def test_certificate_is_in_the_list_of_its_state(world: World, renewal: Renewal) -> None:
    assert (listed(world, "waiting"), listed(world, "issued"), listed(world, "refused")) == ([SECOND], [FIRST], [])
    world.apply(IssuanceRefused(renewal_id=renewal.id, item_id=renewal.items[1].id, reason="caa-forbids"))
    assert (listed(world, "waiting"), listed(world, "refused")) == ([], [SECOND])


def test_refusal_without_an_order_is_shown_in_any_topic_order(world: World) -> None:
    renewal = Renewal()
    refused = IssuanceRefused(renewal_id=renewal.id, item_id=renewal.items[0].id, reason="names-not-certifiable")
    world.apply(refused, renewal.submitted(), renewal.requested())
    assert (listed(world, "waiting"), listed(world, "refused")) == ([SECOND], [FIRST])


@pytest.mark.parametrize("withheld_first", [True, False])
def test_withdrawn_certificate_is_not_waiting_in_any_topic_order(world: World, withheld_first: bool) -> None:
    renewal = Renewal()
    opening = [renewal.opened(0), renewal.opened(1)]
    end = [IssuanceWithheld(renewal_id=renewal.id)]
    others = [renewal.submitted(), renewal.requested(), RenewalCancelled(renewal_id=renewal.id, reason="withdrawn")]
    world.apply(*([*opening, *end, *others] if withheld_first else [*others, *opening, *end]))
    assert listed(world, "waiting") == []
    assert {row[0] for row in world.rows("SELECT withdrawn_at IS NOT NULL FROM items")} == {True}


@pytest.mark.parametrize(("pem", "shown"), [(None, True), ("of one that nobody got", False)])
def test_revoked_certificate_is_shown_as_revoked(world: World, renewal: Renewal, pem: str | None, shown: bool) -> None:
    [(serial,)] = world.rows("SELECT serial FROM items WHERE serial IS NOT NULL")
    world.apply(
        CertificateRevoked(
            renewal_id=renewal.id,
            item_id=renewal.items[0].id,
            serial="1f2e3d" if pem else serial,
            reason="superseded",
            revoked_at=NOW,
            certificate=pem,
        )
    )
    assert ("Revoked" in world.client().get("/", query_string={"q": FIRST}).text) is shown


def test_long_list_is_read_page_by_page(world: World) -> None:
    renewals = [Renewal(reference=f"R-{number:0>10}".replace("0", "A")) for number in range(15)]
    for renewal in renewals:
        world.apply(*renewal.asked()[2:5])
    client, path, seen = world.client(), "/certificates/waiting", 0
    while path:
        page = client.get(path).text
        seen += page.count("Waits for its CSR")
        following = re.search(r'href="([^"]*after=[^"]*)">Next page', page)
        path = following[1] if following else ""
    assert seen == 30

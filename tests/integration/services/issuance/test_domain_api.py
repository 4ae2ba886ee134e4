"""Domain control over HTTP: begin, look, ask for a check, and what strangers get."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.issuance import domain_control
from shared.pki.observations import CAARecord, Kind, Question
from tests.integration.services.issuance.world import Renewal, World, items
from tests.integration.services.issuance.zone import RULES
from tests.support.problems import slug

URL = "/issuance/v1/domains"


@pytest.fixture
def client(world: World) -> FlaskClient:
    return world.app().test_client()


@pytest.fixture
def renewal() -> Renewal:
    """An AR's renewal of which issuance has not heard yet: it is a draft."""
    return Renewal(items=items(["www.example.hk"]))


def begin(world: World, client: FlaskClient, renewal: Renewal, *names: str) -> list[dict[str, Any]]:
    answer = client.post(URL, json={"server_names": names}, headers=world.headers(renewal))
    assert answer.status_code == 200, answer.json
    found: Any = answer.json
    return list(found)


def shown(world: World, client: FlaskClient, renewal: Renewal, *names: str) -> list[dict[str, Any]]:
    query = [("server_name", name) for name in names]
    found: Any = client.get(URL, query_string=query, headers=world.headers(renewal)).json
    return list(found)


def test_ar_proves_a_domain_before_there_is_an_order(world: World, client: FlaskClient, renewal: Renewal) -> None:
    [domain] = begin(world, client, renewal, "*.Example.hk")
    assert (domain["domain"], domain["server_names"], domain["state"]) == ("example.hk", ["*.example.hk"], "open")
    how = domain["instructions"]
    assert how["record_name"] == "_validation.example.hk"
    assert how["file_url"] == "http://example.hk/.well-known/pki-validation/ecert.txt"
    assert len(how["txt_value"]) * 5 >= 112
    world.zone.records[Question(Kind.TXT, how["record_name"])] = (how["txt_value"],)
    asked = client.post(f"{URL}/example.hk/checks", headers=world.headers(renewal))
    assert (asked.status_code, asked.json and asked.json["state"]) == (202, "checking")
    assert world.check()
    [proved] = shown(world, client, renewal, "*.example.hk")
    assert (proved["state"], proved["proved_by"], proved["quorum"]) == ("proved", "example.hk", "5/5")
    assert proved["proved_at"] < proved["reusable_until"]
    assert begin(world, client, renewal, "*.example.hk") == [proved]


def test_ar_proves_a_parent_once_for_all_names_below(world: World, client: FlaskClient, renewal: Renewal) -> None:
    names = ("www.eu.example.com.hk", "*.eu.example.com.hk", "mail.example.com.hk")
    found = begin(world, client, renewal, *names)
    assert [(each["domain"], each["parents"]) for each in found] == [
        ("eu.example.com.hk", ["example.com.hk"]),
        ("mail.example.com.hk", ["example.com.hk"]),
        ("www.eu.example.com.hk", ["eu.example.com.hk", "example.com.hk"]),
    ]
    [parent] = begin(world, client, renewal, "*.example.com.hk")
    how = parent["instructions"]
    world.zone.records[Question(Kind.TXT, how["record_name"])] = (how["txt_value"],)
    client.post(f"{URL}/example.com.hk/checks", headers=world.headers(renewal))
    assert world.check()
    states = [(each["state"], each["proved_by"]) for each in shown(world, client, renewal, *names)]
    assert states == [("proved", "example.com.hk")] * 3


def test_domain_proved_by_a_file_gets_another_value_for_the_names_below(
    world: World, client: FlaskClient, renewal: Renewal
) -> None:
    [domain] = begin(world, client, renewal, "example.hk")
    how = domain["instructions"]
    world.zone.records[Question(Kind.FILE, "example.hk")] = (how["file_content"],)
    client.post(f"{URL}/example.hk/checks", headers=world.headers(renewal))
    assert world.check()
    assert begin(world, client, renewal, "example.hk")[0]["instructions"] == how
    [above] = begin(world, client, renewal, "*.example.hk")
    assert (above["state"], above["instructions"] == how) == ("open", False)
    assert datetime.fromisoformat(above["value_until"]) > world.now
    world.zone.records[Question(Kind.TXT, "_validation.example.hk")] = (above["instructions"]["txt_value"],)
    world.now += timedelta(minutes=1)
    client.post(f"{URL}/example.hk/checks", headers=world.headers(renewal))
    assert world.check()
    assert [each["state"] for each in shown(world, client, renewal, "*.example.hk", "www.example.hk")] == ["proved"]


def test_what_was_seen_is_shown(world: World, client: FlaskClient, renewal: Renewal) -> None:
    begin(world, client, renewal, "www.example.hk")
    world.zone.records[Question(Kind.TXT, "_validation.www.example.hk")] = ("v" * 1000, *map(str, range(9)))
    world.zone.caa["www.example.hk"] = (CAARecord(flags=0, tag="issue", value="ca.example.net"),)
    client.post(f"{URL}/www.example.hk/checks", headers=world.headers(renewal))
    world.check()
    [domain] = shown(world, client, renewal, "www.example.hk")
    assert (domain["state"], domain["reason"]) == ("open", "another-value")
    seen = {each["kind"]: each for each in domain["seen"]}
    assert seen["txt"]["values"] == ["v" * 300, "0", "1", "2", "3"]
    assert seen["caa"]["values"] == ['0 issue "ca.example.net"']
    [obstacle] = domain["caa"]
    assert (obstacle["reason"], obstacle["record"]) == (
        "caa-other-issuer",
        'www.example.hk CAA 0 issue "ca.example.net"',
    )
    assert domain["issuer_domain"] in RULES.issuer_domains


def test_domains_of_another_subscriber_are_not_shown(world: World, client: FlaskClient, renewal: Renewal) -> None:
    begin(world, client, renewal, "www.example.hk")
    stranger = Renewal(items=renewal.items, subscriber_id="SUB-2")
    assert shown(world, client, stranger, "www.example.hk") == []
    answer = client.post(f"{URL}/www.example.hk/checks", headers=world.headers(stranger))
    assert (answer.status_code, slug(answer)) == (404, "domain-not-found")
    assert (
        begin(world, client, stranger, "www.example.hk")[0]["instructions"]
        != shown(world, client, renewal, "www.example.hk")[0]["instructions"]
    )


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["*.com.hk"],
        ["com.hk"],
        ["192.0.2.1"],
        ["server.local"],
        ["a" * 64 + ".example.hk"],
        ["www.example.hk"] * 601,
        [7],
    ],
    ids=["none", "below a public suffix", "public suffix", "address", "internal", "long label", "too many", "number"],
)
def test_names_that_cannot_be_certified_are_refused(
    world: World, client: FlaskClient, renewal: Renewal, names: list[Any]
) -> None:
    answer = client.post(URL, json={"server_names": names}, headers=world.headers(renewal))
    assert (answer.status_code, slug(answer)) == (422, "invalid-request")
    assert world.rows("SELECT 1 FROM domain_controls") == []


def test_one_subscriber_has_a_limited_number_of_domains(
    world: World, client: FlaskClient, renewal: Renewal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain_control, "MAX_DOMAINS", 1)
    begin(world, client, renewal, "www.example.hk")
    answer = client.post(URL, json={"server_names": ["mail.example.hk"]}, headers=world.headers(renewal))
    assert (answer.status_code, slug(answer)) == (409, "too-many-domains")
    assert world.rows("SELECT domain FROM domain_controls") == [("www.example.hk",)]


@pytest.mark.parametrize(
    ("method", "path"), [("get", "?server_name=www.example.hk"), ("post", ""), ("post", "/www.example.hk/checks")]
)
def test_nobody_sees_domains_without_signing_in(client: FlaskClient, method: str, path: str) -> None:
    body = None if path else {"server_names": ["www.example.hk"]}
    answer = getattr(client, method)(f"{URL}{path}", json=body, headers={"Idempotency-Key": "k" * 8})
    assert answer.status_code == 401


def test_value_whose_proof_has_lapsed_is_shown_as_ended(world: World, client: FlaskClient, renewal: Renewal) -> None:
    world.now = datetime(2029, 3, 20, tzinfo=UTC)  # proofs are reused for ten days, values live for thirty
    [domain] = begin(world, client, renewal, "www.example.hk")
    how = domain["instructions"]
    world.zone.records[Question(Kind.TXT, how["record_name"])] = (how["txt_value"],)
    client.post(f"{URL}/www.example.hk/checks", headers=world.headers(renewal))
    assert world.check()
    world.now += timedelta(days=10, seconds=1)
    [lapsed] = shown(world, client, renewal, "www.example.hk")
    assert lapsed["proved_at"] is None
    assert datetime.fromisoformat(lapsed["value_until"]) < world.now
    [again] = begin(world, client, renewal, "www.example.hk")
    assert again["instructions"]["txt_value"] != how["txt_value"]


def test_second_request_while_a_check_is_due_asks_for_no_other(
    world: World, client: FlaskClient, renewal: Renewal
) -> None:
    begin(world, client, renewal, "www.example.hk")
    for _ in range(3):
        client.post(f"{URL}/www.example.hk/checks", headers=world.headers(renewal))
    assert world.check()
    assert not world.check()

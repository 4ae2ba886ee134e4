"""Public data, without a sign-in: the terms and the prices."""

import hashlib
import json

from tests.integration.services.application.world import World, body


def test_served_terms_are_the_bytes_whose_hash_is_signed(world: World) -> None:
    signed = json.loads(world.draft().document)["terms"]
    answer = world.http.get(f"/application/v1/terms/{signed['version']}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.data).hexdigest() == signed["sha256"]
    assert world.http.get("/application/v1/terms").data == answer.data


def test_known_terms_are_not_sent_again(world: World) -> None:
    first = world.http.get("/application/v1/terms")
    again = world.http.get("/application/v1/terms", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_unknown_terms_are_a_problem(world: World) -> None:
    answer = world.http.get("/application/v1/terms/2025-01-01")
    assert (answer.status_code, body(answer)["type"]) == (404, "urn:ecert:problem:terms-not-found")


def test_prices_shown_are_those_of_a_quote(world: World) -> None:
    prices = {price["product"]: price for price in body(world.http.get("/application/v1/prices"))}
    assert set(prices) == {"standard", "wildcard", "multi-domain"}
    assert prices["standard"]["currency"] == "HKD"
    assert world.draft().amount_minor == prices["standard"]["base_minor"]

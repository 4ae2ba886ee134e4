"""Suggested windows over HTTP: for everybody, by the identifier of RFC 9773, moved at once by a revocation."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from flask.testing import FlaskClient

from services.issuance import revocation
from services.issuance.ca.crl import RevocationReason
from services.issuance.certificate_ids import certificate_id
from tests.integration.services.issuance.world import World
from tests.support.problems import problem


@pytest.fixture
def http(world: World) -> FlaskClient:
    return world.app().test_client()


def identifier(world: World, serial: int = 0) -> tuple[str, x509.Certificate]:
    [[der]] = world.rows("SELECT der FROM certificates")
    issued = x509.load_der_x509_certificate(der)
    key_identifier = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert key_identifier is not None
    return certificate_id(key_identifier, serial or issued.serial_number), issued


def test_window_is_shown_to_everybody_and_moves_with_a_revocation(world: World, http: FlaskClient) -> None:
    world.issued(["www.example.hk"])
    name, issued = identifier(world)
    answer = http.get(f"/issuance/v1/renewal-info/{name}")
    assert answer.status_code == 200
    assert answer.headers["Retry-After"] == "21600"
    assert answer.json is not None
    window = {what: datetime.fromisoformat(at) for what, at in answer.json["suggestedWindow"].items()}
    assert world.now < window["start"] < window["end"] < issued.not_valid_after_utc
    assert issued.not_valid_after_utc - window["start"] < timedelta(days=67)
    world.now += timedelta(days=1)
    with world.begin() as tx:
        revocation.revoke_serial(tx, f"{issued.serial_number:x}", RevocationReason.SUPERSEDED, "operator")
    moved = http.get(f"/issuance/v1/renewal-info/{name}").json
    assert moved is not None
    assert datetime.fromisoformat(moved["suggestedWindow"]["end"]) <= world.now


@pytest.mark.parametrize("bend", ["another serial", "another issuer", "no identifier"])
def test_unknown_certificate_has_no_window(world: World, http: FlaskClient, bend: str) -> None:
    world.issued(["www.example.hk"])
    _, issued = identifier(world)
    asked = {
        "another serial": identifier(world, issued.serial_number + 1)[0],
        "another issuer": certificate_id(bytes(20), issued.serial_number),
        "no identifier": "x" * 200,
    }[bend]
    assert problem(http.get(f"/issuance/v1/renewal-info/{asked}"))[0] == 404

"""CSRs that are none, PINs that are guessed: through the gateway, against the real issuance."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from services.issuance.pins import pins
from tests.system.door import Door, Reply
from tests.system.readings import events, rows
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key, private_pem, rsa_key

Begin = Callable[..., Journey]


def submission(journey: Journey, **changes: Any) -> dict[str, Any]:
    """Return a good submission of the journey's only order, with something changed."""
    [order] = journey.orders
    [name] = order.server_names
    body = {"reference": order.reference, "pins": {name: journey.letters[0].pin}, "csr": as_pem(csr_der(names=[name]))}
    return body | changes


def send(door: Door, journey: Journey, body: Any) -> Reply:
    return door.post(f"/issuance/v1/orders/{journey.orders[0].item_id}/csr", body, journey.ar.token)


def tries_left(journey: Journey) -> int:
    [order] = journey.ar.get(f"/issuance/v1/renewals/{journey.id}/orders").json()
    left: int = order["pins"][0]["tries_left"]
    return left


def off_by_one(pin: str) -> str:
    """Return a PIN with a slip of one finger."""
    return str((int(pin[0]) + 1) % 10) + pin[1:]


def another(pin: str) -> str:
    """Return a PIN that could be one."""
    made = pins.make(lambda count: uuid.uuid4().bytes[:count])
    return made if made != pin else another(pin)


def bad_csrs(name: str) -> dict[str, tuple[str, str, str | None]]:
    """Return CSR text → the slug and the reason of its refusal."""
    key = ec_key()
    good = as_pem(csr_der(key, names=[name]))
    der = csr_der(key, names=[name])
    bent = der[:-3] + bytes([der[-3] ^ 1]) + der[-2:]
    return {
        "nothing": ("", "csr-refused", "csr-not-a-csr"),
        "noise": ("\u0001\u202e" * 50, "csr-refused", "csr-not-a-csr"),
        "two blocks": (good + good, "csr-refused", "csr-several-pem-blocks"),
        "a certificate beside it": (good + as_pem(der, "CERTIFICATE"), "csr-refused", "csr-several-pem-blocks"),
        "no CSR in a letter": ("Dear CA,\n" + good.replace("REQUEST", ""), "csr-refused", "csr-not-a-csr"),
        "a private key below it": (good + private_pem(key), "private-key-pasted", "csr-private-key-pasted"),
        "a private key above it": (private_pem(key) + good, "private-key-pasted", "csr-private-key-pasted"),
        "an encrypted key": (good + private_pem(key, b"x"), "private-key-pasted", "csr-private-key-pasted"),
        "a bad signature": (as_pem(bent), "csr-refused", "csr-signature-invalid"),
        "bytes after it": (as_pem(der + b"\0"), "csr-refused", "csr-trailing-bytes"),
        "too large": (good + " " * 40_000, "csr-refused", "csr-too-large"),
        "many beginnings": ("-----BEGIN A-----" * 1_500, "csr-refused", "csr-several-pem-blocks"),
        "another's name": (as_pem(csr_der(names=[name, "www.gov.hk"])), "csr-names-differ", "csr-names-differ"),
        "a name of its own": (as_pem(csr_der(common_name="evil.example.hk")), "csr-names-differ", "csr-names-differ"),
        "a small key": (as_pem(csr_der(rsa_key(1024), names=[name])), "key-refused", "key-rsa-size-not-allowed"),
    }


def test_bad_csr_gets_its_reason_and_uses_no_attempt(door: Door, victim: Journey) -> None:
    for what, (text, slug, reason) in bad_csrs(victim.orders[0].server_names[0]).items():
        reply = send(door, victim, submission(victim, csr=text))
        assert (reply.refusal, reply.json.get("reason")) == ((422, slug), reason), what
        assert b"PRIVATE" not in reply.body, what
    assert tries_left(victim) == pins.MAX_ATTEMPTS


def test_pasted_private_key_is_never_certified_afterwards(door: Door, victim: Journey) -> None:
    key = ec_key()
    good = as_pem(csr_der(key, names=victim.orders[0].server_names))
    assert send(door, victim, submission(victim, csr=private_pem(key))).slug == "private-key-pasted"
    reply = send(door, victim, submission(victim, csr=good))
    assert (reply.refusal, reply.json["reason"]) == ((422, "key-not-allowed"), "key-blocked")


def test_mistyped_pin_uses_no_attempt(door: Door, victim: Journey) -> None:
    [name], pin = victim.orders[0].server_names, victim.letters[0].pin
    for what, changes, slug in (
        ("a slip", {"pins": {name: off_by_one(pin)}}, "pin-slip"),
        ("too short", {"pins": {name: "1"}}, "pin-slip"),
        ("letters", {"pins": {name: "x" * 16}}, "pin-slip"),
        ("other digits", {"pins": {name: "٣" * 16}}, "pin-slip"),
        ("no name", {"pins": {"www.gov.hk": pin}}, "pins-missing"),
        ("a name too many", {"pins": {name: pin, "www.gov.hk": pin}}, "pins-missing"),
        ("noise for a name", {"pins": {"\u202e\u0001": pin}}, "pins-missing"),
        ("another reference", {"reference": "E-AAAAAAAAAA"}, "wrong-reference"),
        ("no PIN", {"pins": {}}, "pins-missing"),
        ("a number for a PIN", {"pins": {name: int(pin)}}, "invalid-request"),
        ("a list for a PIN", {"pins": {name: [pin]}}, "invalid-request"),
        ("an unknown field", {"force": True}, "invalid-request"),
        ("thousands of PINs", {"pins": {f"{n}.example.hk": "1" for n in range(1_500)}}, "invalid-request"),
    ):
        reply = send(door, victim, submission(victim, **changes))
        assert reply.refusal == (422, slug), what
        assert pin.encode() not in reply.body, what
    over_budget = {f"{n}.example.hk": "1" for n in range(2_000)}
    assert send(door, victim, submission(victim, pins=over_budget)).refusal == (400, "malformed-request")
    assert tries_left(victim) == pins.MAX_ATTEMPTS


def test_twenty_concurrent_guesses_get_at_most_five_attempts(
    door: Door, system: Target, journey: Begin, spare: Iterator[str]
) -> None:
    target = journey(next(spare))
    target.apply()
    target.receive()
    [name], pin = target.orders[0].server_names, target.letters[0].pin
    guesses = [submission(target, pins={name: another(pin)}) for _ in range(20)]
    with ThreadPoolExecutor(20) as attackers:
        replies = list(attackers.map(lambda body: send(door, target, body), guesses))
    counted = Counter(reply.slug for reply in replies)
    assert counted["pin-wrong"] == pins.MAX_ATTEMPTS
    assert set(counted) <= {"pin-wrong", "pin-locked", "too-busy", "unavailable"}
    left = [reply.json["wrong"][0]["tries_left"] for reply in replies if reply.slug == "pin-wrong"]
    assert sorted(left)[0] == 0
    assert send(door, target, submission(target)).refusal == (403, "pin-locked")
    assert "csr-received" not in events(system, target.id)["issuance.events"]
    actions = rows(system, "issuance", "SELECT action FROM audit_log WHERE subject = %s", target.orders[0].item_id)
    assert Counter(action for (action,) in actions)["pin-wrong"] == pins.MAX_ATTEMPTS


def test_pins_and_pasted_keys_are_stored_nowhere(door: Door, system: Target, victim: Journey) -> None:
    marked = ec_key()
    pasted = private_pem(marked)
    send(door, victim, submission(victim, csr=pasted))
    secrets = [victim.letters[0].pin, "".join(pasted.splitlines()[1:3])[:60]]
    kept = json.dumps(rows(system, "issuance", "SELECT t::text FROM audit_log AS t"))
    kept += json.dumps(rows(system, "issuance", "SELECT t::text FROM idempotency_keys AS t"))
    kept += "".join(file.read_text(errors="replace") for file in system.installation.logs.glob("*.log*"))
    assert not [secret for secret in secrets if secret in kept]


def test_certificate_is_404_before_it_is_issued(door: Door, victim: Journey) -> None:
    path = f"/issuance/v1/orders/{victim.orders[0].item_id}"
    token = victim.ar.token
    assert door.get(f"{path}/certificate", token).refusal == (404, "certificate-not-found")
    assert door.post(f"{path}/acceptance", {}, token).refusal == (404, "certificate-not-found")
    for reason in ("keyCompromise", "superseded"):
        assert door.post(f"{path}/revocation", {"reason": reason}, token).refusal == (404, "certificate-not-found")
    for other in ("privilegeWithdrawn", "certificateHold", "", None, 1, ["superseded"]):
        assert door.post(f"{path}/revocation", {"reason": other}, token).refusal == (422, "invalid-request")


@pytest.mark.parametrize("header", [("Range", "bytes=0-1"), ("If-Modified-Since", "yesterday"), ("If-None-Match", '"')])
def test_crl_is_public(door: Door, header: tuple[str, str]) -> None:
    reply = door.ask("GET", "/issuance/v1/crl", headers=[header])
    assert (reply.status, reply.headers["content-type"]) == (200, "application/pkix-crl")

"""The e-Cert test: reports each check of a sign-in, and nobody is signed in."""

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.x509.oid import ObjectIdentifier
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db import Pool
from tests.integration.services.identity.conftest import (
    CHAN,
    ORGANISATION,
    REDIRECT_URIS,
    Clock,
    count,
    e_cert,
    sign_in,
    take_crls,
    xfcc,
)
from tests.integration.services.identity.test_challenges import ask as ask_challenge
from tests.integration.services.identity.test_codes import CHALLENGE, GOOD, STATE, VERIFIER
from tests.support.problems import full_problem
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import (
    CRL,
    NOW,
    ORGANISATIONAL,
    Holder,
    Leaf,
    issue,
    make_ca,
    make_crl,
    name,
    world,
)
from tests.unit.services.identity.cms_builder import sign

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")
MUTUAL_RECOGNITION = ObjectIdentifier("2.16.344.8.2.2008.810.2.2015.1.1")


def show(http: FlaskClient, holder: Holder | None, **changes: str) -> dict[str, str]:
    """Return the parameters of the redirect after a browser has shown its certificate."""
    query = urlencode({**GOOD, **changes})
    answer = http.get(f"/identity/v1/certificate-tests?{query}", headers=xfcc(holder) if holder else {})
    assert answer.status_code == 303, answer.text
    return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def result(http: FlaskClient, code: str, **changes: str) -> TestResponse:
    body = {"code": code, "code_verifier": VERIFIER, "redirect_uri": REDIRECT_URIS[0], **changes}
    return http.post("/identity/v1/certificate-test-results", json=body)


def report(http: FlaskClient, holder: Holder) -> dict[str, Any]:
    answer = result(http, show(http, holder)["code"])
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return dict(answer.json)


def findings(found: dict[str, Any]) -> dict[str, str | None]:
    """Return the faults by check; a check that was not made says so."""
    return {each["check"]: each["fault"] if each["made"] else "not made" for each in found["findings"]}


def faults(found: dict[str, Any]) -> dict[str, str]:
    return {check: fault for check, fault in findings(found).items() if fault}


def test_good_e_cert_passes_every_check(http: FlaskClient, pool: Pool) -> None:
    found = report(http, CHAN)
    assert (found["good"], faults(found)) == (True, {})
    assert list(findings(found)) == ["validity", "kind", "key", "issuer", "revocation", "registration"]
    assert (found["holder"], found["organisation"]) == ("CHAN Tai Man", ORGANISATION)
    assert (found["issuer"], found["mutual_recognition"]) == ("Example e-Cert CA 2 - 17", False)
    assert found["serial"] == f"{CHAN.certificate.serial_number:x}"
    assert count(pool, "audit_log WHERE action = 'signed-in'") == 0
    assert count(pool, "sign_in_codes") == 0


def test_mutual_recognition_e_cert_is_recognised(http: FlaskClient) -> None:
    found = report(http, e_cert("MR", by=world().sibling, policies=(ORGANISATIONAL, MUTUAL_RECOGNITION)))
    assert (found["mutual_recognition"], faults(found)) == (True, {"registration": "not-enrolled"})


def a_stranger() -> Holder:
    return issue(make_ca("Some other CA"), Leaf())


BAD = {
    "another's registration": (lambda: e_cert("HO Chi Wai"), {"registration": "not-enrolled"}),
    "expired": (
        lambda: e_cert("old", not_after=NOW - timedelta(days=1)),
        {"validity": "certificate-expired", "registration": "not-enrolled"},
    ),
    "not yet valid": (
        lambda: e_cert("new", not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=9)),
        {"validity": "certificate-not-yet-valid", "registration": "not-enrolled"},
    ),
    "personal": (
        lambda: issue(
            world().sub,
            Leaf(policies=(builders.PERSONAL,), subject=name("CHAN", "Hongkong Post", "e-Cert (Personal)")),
        ),
        {"kind": "certificate-personal", "registration": "not-enrolled"},
    ),
    "bank's": (
        lambda: e_cert("bank", by=world().sibling),
        {"kind": "certificate-not-mutual-recognition", "registration": "not-enrolled"},
    ),
    "weak": (
        lambda: e_cert("weak", key=builders.rsa_key("weak", 1024)),
        {"key": "certificate-weak-key", "registration": "not-enrolled"},
    ),
    "of another CA": (
        a_stranger,
        {"issuer": "certificate-untrusted", "revocation": "not made", "registration": "not-enrolled"},
    ),
}


@pytest.mark.parametrize(("make", "expected"), BAD.values(), ids=BAD.keys())
def test_all_failed_checks_are_reported_at_once(http: FlaskClient, make: Any, expected: dict[str, str]) -> None:
    found = report(http, make())
    assert (found["good"], faults(found)) == (False, expected)


def test_revoked_e_cert_is_reported(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    clock.now = NOW + timedelta(hours=1)
    listed = CRL(number=2, this_update=clock.now, revoked=(CHAN.certificate.serial_number,))
    take_crls(pool, clock, make_crl(world().sub, listed))
    assert faults(report(http, CHAN)) == {"revocation": "certificate-revoked"}


def test_undecidable_check_is_not_reported_as_passed(http: FlaskClient, clock: Clock) -> None:
    clock.now = NOW + timedelta(days=10)  # no CRL is as young as that
    assert faults(report(http, CHAN)) == {"revocation": "revocation-unknown"}


@pytest.mark.parametrize("make", [lambda: CHAN, *(make for make, _ in BAD.values())])
def test_e_cert_test_and_sign_in_agree(http: FlaskClient, make: Any) -> None:
    holder = make()
    assert report(http, holder)["good"] is (sign_in(http, holder).status_code == 200)


def test_test_result_can_be_read_once_and_only_by_its_requester(http: FlaskClient, clock: Clock) -> None:
    code = show(http, CHAN)["code"]
    assert full_problem(result(http, code, code_verifier="w" * 43))[:2] == (403, "code-refused")
    assert full_problem(result(http, code))[:2] == (403, "code-refused")
    once = show(http, CHAN)["code"]
    assert result(http, once).status_code == 200
    assert full_problem(result(http, once))[:2] == (403, "code-refused")
    elsewhere = show(http, CHAN)["code"]
    assert full_problem(result(http, elsewhere, redirect_uri=REDIRECT_URIS[1]))[:2] == (403, "code-refused")
    late = show(http, CHAN)["code"]
    clock.now = NOW + timedelta(seconds=61)
    assert full_problem(result(http, late))[:2] == (403, "code-refused")


def test_test_codes_and_sign_in_codes_are_not_interchangeable(http: FlaskClient) -> None:
    code = show(http, CHAN)["code"]
    body = {"code": code, "code_verifier": VERIFIER, "redirect_uri": REDIRECT_URIS[0]}
    assert full_problem(http.post("/identity/v1/codes", json=body))[:2] == (403, "code-refused")
    answer = http.get(f"/identity/v1/authorise?{urlencode(GOOD)}", headers=xfcc(CHAN))
    (signs_in,) = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
    assert full_problem(result(http, signs_in))[:2] == (403, "code-refused")


def test_missing_certificate_redirects_with_an_error(http: FlaskClient) -> None:
    assert show(http, None) == {"error": "client-certificate-missing", "state": STATE}
    assert show(http, CHAN, code_challenge="short")["error"] == "invalid-request"
    refused = http.get(f"/identity/v1/certificate-tests?redirect_uri=https://evil.example&code_challenge={CHALLENGE}")
    assert full_problem(refused)[:2] == (400, "redirect-uri-refused")


def test_e_cert_file_is_tested_without_signing_in(http: FlaskClient, pool: Pool) -> None:
    asked = ask_challenge(http)
    signature = base64.b64encode(sign(CHAN, document=asked.document)).decode()
    body = {"challenge_id": asked.id, "signature": signature}
    answer = http.post("/identity/v1/challenge-tests", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert (answer.json["good"], answer.json["holder"]) == (True, "CHAN Tai Man")
    assert count(pool, "audit_log WHERE action = 'signed-in'") == 0
    # The same signature is of no use any more.
    assert full_problem(http.post("/identity/v1/challenge-tokens", json=body))[:2] == (409, "challenge-refused")

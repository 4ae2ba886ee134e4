"""Sign-in when lists, sub-CAs or dates are unusual: nobody is locked out, nobody slips in."""

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from flask.testing import FlaskClient

from services.identity.handlers import identify
from services.identity.refusals import CertificateRefused
from shared.db import Pool
from shared.tx import transaction
from tests.integration.services.identity.conftest import (
    CHAN,
    TRUST,
    WONG,
    Clock,
    sign_in,
    take_crls,
    xfcc,
    year_0,
)
from tests.support.problems import full_problem
from tests.unit.services.identity import cms_builder
from tests.unit.services.identity.builders import CRL, NOW, make_ca, make_crl, world

pytestmark = pytest.mark.usefixtures("enrolled")
RENEWAL = "0b6a6a0e-7c0e-4a39-9a3b-0e5f4c2f7a11"


def renewed_sub(**changes: Any) -> x509.Certificate:
    """Return another certificate for the name and key of the sub-CA."""
    return make_ca(SUB_NAME, by=world().root, path_length=0, not_before=NOW - timedelta(days=1), **changes).certificate


SUB_NAME = "Example e-Cert CA 2 - 17"


@pytest.mark.usefixtures("current_crls")
@pytest.mark.parametrize("revoked", ["neither", "the old one", "the new one", "both"])
def test_sub_ca_renewed_with_the_same_key_still_signs_in(
    pool: Pool, clock: Clock, revoked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of the sub-CA was accepted when the certificate before was pinned alone."""
    renewed = renewed_sub()
    serials = {"the old one": [world().sub.certificate], "the new one": [renewed], "neither": []}
    listed = serials.get(revoked, [world().sub.certificate, renewed])
    take_crls(pool, clock, make_crl(world().root, CRL(number=2, revoked=tuple(ca.serial_number for ca in listed))))
    trust = replace(TRUST, intermediates=(renewed, world().sub.certificate))

    with transaction(pool, clock=clock) as tx:
        if revoked == "both":
            with pytest.raises(CertificateRefused, match="revoked"):
                identify(tx, CHAN.certificate, trust=trust)
        else:
            chain = identify(tx, CHAN.certificate, trust=trust).chain
            assert chain.issuers[0] == (world().sub.certificate if revoked == "the new one" else renewed)


@pytest.mark.usefixtures("current_crls")
def test_crl_over_its_age_limit_is_503(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, next_update=NOW + timedelta(days=359))))
    take_crls(pool, clock, make_crl(world().root, CRL(number=2, next_update=NOW + timedelta(days=359))))
    assert sign_in(http, CHAN).status_code == 200

    clock.now = NOW + timedelta(days=299)

    answer = sign_in(http, CHAN)
    assert full_problem(answer)[:2] == (503, "revocation-unknown")
    assert "Retry-After" in answer.headers


@pytest.mark.usefixtures("current_crls")
def test_certificate_listed_in_a_delta_crl_alone_is_refused(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    extra = ((x509.DeltaCRLIndicator(1), True),)
    take_crls(pool, clock, make_crl(world().sub, CRL(number=2, revoked=(CHAN.certificate.serial_number,), extra=extra)))

    assert full_problem(sign_in(http, CHAN)) == (403, "certificate-refused", "certificate-revoked")
    assert sign_in(http, WONG).status_code == 200


@pytest.mark.usefixtures("current_crls")
def test_certificate_of_the_year_0_is_refused(http: FlaskClient) -> None:
    """Anybody can make one: nothing of it is verified when its dates are looked at."""
    for path in ("/identity/v1/tokens", "/identity/v1/checkout-authorisations"):
        answer = http.post(path, headers=xfcc(year_0()), json={"renewal_id": RENEWAL})
        assert full_problem(answer) == (403, "certificate-refused", "certificate-unreadable"), path


@pytest.mark.usefixtures("current_crls")
def test_challenge_signed_with_a_certificate_of_the_year_0_is_refused(http: FlaskClient) -> None:
    asked = http.post("/identity/v1/challenges", json={}).json
    assert asked is not None
    signature = cms_builder.sign(year_0(), document=asked["document"].encode())
    body = {"challenge_id": asked["challenge_id"], "signature": base64.b64encode(signature).decode()}

    for path in ("/identity/v1/challenge-tokens", "/identity/v1/challenge-tests"):
        assert full_problem(http.post(path, json=body)) == (422, "signature-refused", "signature-malformed"), path

"""E-Certs whose names are not what their types say: read all the same, or refused in words."""

import base64
import ssl
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from cryptography import x509
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.identity import enrolment
from services.identity.refusals import EnrolmentRefused
from shared.db import Pool
from tests.integration.services.identity.conftest import CHAN, Clock, ar, attest, good, sign_in, subscriber
from tests.support.problems import full_problem
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import Holder
from tests.unit.services.identity.cms_builder import sign
from tests.unit.services.identity.test_certificates import encoded, with_organisation

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")


def enrol(pool: Pool, clock: Clock, organisation: str, person: dict[str, object]) -> None:
    content = {"subscribers": [subscriber("cafe", organisation, "12345679", person)]}
    enrolment.enrol(pool, content, "test", clock=clock)


@pytest.mark.parametrize(
    ("value", "registered"),
    [
        (encoded(0x14, "Café Limited".encode("latin-1")), "Café Limited"),
        (encoded(0x14, "為食有限公司".encode("big5")), "爲食有限公司"),
    ],
)
def test_an_e_cert_in_an_undeclared_encoding_signs_in(
    http: FlaskClient, pool: Pool, clock: Clock, value: bytes, registered: str
) -> None:
    der = with_organisation(value, "12345679")
    holder = Holder(certificate=x509.load_der_x509_certificate(der), key=builders.rsa_key("holder"))
    enrol(pool, clock, registered, ar("cheung", "CHEUNG Siu Ming", holder))

    assert sign_in(http, holder).status_code == 200


def show(http: FlaskClient, pem: str) -> TestResponse:
    return http.post("/identity/v1/tokens", headers={"X-Forwarded-Client-Cert": f'Cert="{quote(pem, safe="")}"'})


def test_e_cert_with_an_undecodable_name_is_refused_with_a_reason(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    pem = ssl.DER_cert_to_PEM_cert(with_organisation(encoded(0x13, b"CHAN & SONS LIMITED")))

    answer = show(http, pem)

    assert full_problem(answer) == (403, "certificate-refused", "certificate-name-encoding")
    assert answer.json is not None
    assert "& in a PrintableString" in answer.json["detail"]
    person = ar("cheung", "CHEUNG Siu Ming") | {"certificates": [pem]}
    with pytest.raises(EnrolmentRefused, match="& in a PrintableString"):
        enrol(pool, clock, "CHAN & SONS LIMITED", person)


def test_junk_is_refused_as_unreadable(http: FlaskClient) -> None:
    assert full_problem(show(http, ssl.DER_cert_to_PEM_cert(b"\x30\x00"))) == (
        403,
        "certificate-refused",
        "certificate-unreadable",
    )


@dataclass(frozen=True, kw_only=True)
class Unloadable(Holder):
    """A holder whose certificate no library loads; `certificate` stands in for it."""

    data: bytes

    @property
    def der(self) -> bytes:
        return self.data


@pytest.mark.parametrize("path", ["challenge-tokens", "challenge-tests", "attestations"])
def test_signature_by_an_e_cert_with_an_undecodable_name_is_refused_with_a_reason(http: FlaskClient, path: str) -> None:
    der = with_organisation(encoded(0x13, b"CHAN & SONS LIMITED"))
    holder = Unloadable(certificate=CHAN.certificate, key=builders.rsa_key("holder"), data=der)
    if path == "attestations":
        _, body = good(holder=holder)
        answer = attest(http, CHAN, body)
    else:
        asked = http.post("/identity/v1/challenges", json={}).json
        assert asked is not None
        signature = base64.b64encode(sign(holder, document=asked["document"].encode())).decode()
        answer = http.post(f"/identity/v1/{path}", json={"challenge_id": asked["challenge_id"], "signature": signature})

    assert full_problem(answer) == (403, "certificate-refused", "certificate-name-encoding")

"""Signed attributes: required, single, ordered, and true."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import cms, core, tsp, x509

from services.identity.cms import verify
from services.identity.refusals import SignatureFault
from tests.unit.services.identity.builders import NOW, world
from tests.unit.services.identity.cms_builder import (
    DOCUMENT,
    Attributes,
    Sign,
    as_asn1,
    attribute,
    attributes_of,
    issuer_serial,
    sign,
    signing_certificate,
)
from tests.unit.services.identity.cms_cases import attributes_changed_to, fault, replaced


def test_signature_without_signed_attributes_is_refused() -> None:
    assert fault(sign(world().holder, without_attributes=True)) is SignatureFault.NO_SIGNED_ATTRIBUTES


def test_signed_attributes_cannot_be_passed_off_as_a_document() -> None:
    """The forgery that `openssl cms -verify` accepts: drop the attributes, present them as what was signed."""
    genuine = cms.ContentInfo.load(sign(world().holder))
    signer = genuine["content"]["signer_infos"][0]
    as_document = b"\x31" + signer["signed_attrs"].dump()[1:]
    forged_signer = cms.SignerInfo({name: signer[name] for name in signer.native if not name.endswith("_attrs")})
    genuine["content"]["signer_infos"] = [forged_signer]

    assert fault(genuine.dump(force=True), as_document) is SignatureFault.NO_SIGNED_ATTRIBUTES


def test_attributes_out_of_order_are_refused() -> None:
    good = sign(world().holder)
    signer = cms.ContentInfo.load(good)["content"]["signer_infos"][0]
    parts = [member.dump() for member in signer["signed_attrs"]]
    reordered = good.replace(b"".join(parts), b"".join(reversed(parts)))
    assert reordered != good
    assert len(reordered) == len(good)

    assert fault(reordered) is SignatureFault.NOT_DER


@pytest.mark.parametrize("kind", ["content_type", "message_digest", "signing_time"])
def test_missing_attribute_is_refused(kind: str) -> None:
    assert fault(attributes_changed_to(replaced(kind))) is SignatureFault.ATTRIBUTES


def test_attribute_given_twice_is_refused() -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, attribute("message_digest", hashlib.sha256(b"another").digest())]

    assert fault(attributes_changed_to(change)) is SignatureFault.ATTRIBUTES


def test_attribute_with_two_values_is_refused() -> None:
    digests = [hashlib.sha256(document).digest() for document in (DOCUMENT, b"another")]

    assert fault(attributes_changed_to(replaced("message_digest", *digests))) is SignatureFault.ATTRIBUTES


def test_content_type_attribute_that_differs_is_refused() -> None:
    assert fault(attributes_changed_to(replaced("content_type", "signed_data"))) is SignatureFault.CONTENT_TYPE


def test_message_digest_of_another_hash_is_refused() -> None:
    assert fault(sign(world().holder, inner_digest="sha512")) is SignatureFault.MESSAGE_DIGEST


def test_unknown_signed_attributes_are_accepted() -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, attribute("1.2.3.4", core.Integer(1))]

    verify(attributes_changed_to(change), DOCUMENT, NOW)


def test_missing_signing_certificate_attribute_is_refused() -> None:
    missing = replaced("signing_certificate_v2")

    assert fault(attributes_changed_to(missing)) is SignatureFault.SIGNING_CERTIFICATE


def with_signing_certificate(**changes: Any) -> Any:
    def change(attributes: Attributes) -> Attributes:
        kept = [each for each in attributes if each["type"].native != "signing_certificate_v2"]
        return [*kept, signing_certificate(world().holder, **changes)]

    return change


def test_signing_certificate_with_issuer_and_serial_is_accepted() -> None:
    change = with_signing_certificate(issuer_serial=issuer_serial(world().holder))

    verify(attributes_changed_to(change), DOCUMENT, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"cert_hash": b"\x00" * 32}, id="another certificate"),
        pytest.param({"hash_algorithm": {"algorithm": "sha1"}, "cert_hash": b"\x00" * 20}, id="sha1"),
    ],
)
def test_signing_certificate_that_differs_is_refused(changes: dict[str, Any]) -> None:
    forged = attributes_changed_to(with_signing_certificate(**changes))

    assert fault(forged) is SignatureFault.SIGNING_CERTIFICATE


def test_signing_certificate_of_another_serial_number_is_refused() -> None:
    forged = attributes_changed_to(with_signing_certificate(issuer_serial=issuer_serial(world().holder, serial=7)))

    assert fault(forged) is SignatureFault.SIGNING_CERTIFICATE


def test_signing_certificate_of_another_issuer_is_refused() -> None:
    names = [x509.GeneralName("directory_name", as_asn1(world().holder).subject)]
    other = tsp.IssuerSerial({"issuer": names, "serial_number": world().holder.certificate.serial_number})

    assert fault(attributes_changed_to(with_signing_certificate(issuer_serial=other))) is (
        SignatureFault.SIGNING_CERTIFICATE
    )


def test_only_the_first_signing_certificate_entry_counts() -> None:
    def change(attributes: Attributes) -> Attributes:
        good = tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(world().holder.der).digest()})
        bad = tsp.ESSCertIDv2({"cert_hash": b"\x00" * 32})
        value = tsp.SigningCertificateV2({"certs": [bad, good]})
        kept = [each for each in attributes if each["type"].native != "signing_certificate_v2"]
        return [*kept, attribute("signing_certificate_v2", value)]

    assert fault(attributes_changed_to(change)) is SignatureFault.SIGNING_CERTIFICATE


@pytest.mark.parametrize("minutes", [-10, 0, 10])
def test_signing_time_near_the_receipt_is_accepted(minutes: int) -> None:
    verify(sign(world().holder), DOCUMENT, NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize("seconds", [-601, 601, 86_400 * 365])
def test_signing_time_far_from_the_receipt_is_refused(seconds: int) -> None:
    late = NOW + timedelta(seconds=seconds)

    assert fault(sign(world().holder), now=late) is SignatureFault.SIGNING_TIME


def test_signing_time_in_the_wrong_type_is_refused() -> None:
    general = cms.Time("generalized_time", core.GeneralizedTime(datetime(2026, 11, 23, 4, tzinfo=UTC)))

    assert fault(attributes_changed_to(replaced("signing_time", general))) is SignatureFault.SIGNING_TIME


def test_builder_signs_what_the_profile_asks_for() -> None:
    kinds = {each["type"].native for each in attributes_of(world().holder, Sign())}

    assert kinds == {"content_type", "signing_time", "message_digest", "signing_certificate_v2"}

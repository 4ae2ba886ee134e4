"""The strict signature profile: one good signature of each kind, and each attack refused for its own reason."""

import functools
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives.asymmetric import ec

from services.identity.cms import MAX_BYTES, verify
from services.identity.domain import SignatureFault, SignatureRefused
from tests.unit.identity import builders
from tests.unit.identity.builders import NOW, Holder, Leaf, issue, world
from tests.unit.identity.cms_builder import (
    DOCUMENT,
    Attributes,
    Sign,
    as_asn1,
    attribute,
    attributes_of,
    issuer_serial,
    pss,
    sign,
    signing_certificate,
)


@functools.cache
def ec_holder(curve: type[ec.EllipticCurve]) -> Holder:
    return issue(world().sub, Leaf(key=builders.ec_key(f"holder {curve.name}", curve)))


@functools.cache
def other_holder() -> Holder:
    return issue(world().sub, Leaf(key=builders.rsa_key("other")))


SHA256 = algos.DigestAlgorithm({"algorithm": "sha256"})


def fault(signature: bytes, document: bytes = DOCUMENT, now: datetime = NOW) -> SignatureFault:
    with pytest.raises(SignatureRefused) as caught:
        verify(signature, document, now)
    assert caught.value.reason == caught.value.fault.value
    return caught.value.fault


def test_a_good_signature_names_its_certificate_and_time() -> None:
    verified = verify(sign(world().holder), DOCUMENT, NOW)

    assert verified.certificate == world().holder.certificate
    assert verified.certificate_der == world().holder.der
    assert verified.signing_time == NOW


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("scheme", ["rsassa_pkcs1v15", "{}_rsa", "rsassa_pss"])
def test_rsa_signatures_with_each_sha2_hash_are_accepted(digest: str, scheme: str) -> None:
    verified = verify(sign(world().holder, digest=digest, algorithm=scheme.format(digest)), DOCUMENT, NOW)

    assert verified.hash_name == digest


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1])
def test_ecdsa_signatures_are_accepted(digest: str, curve: type[ec.EllipticCurve]) -> None:
    verify(sign(ec_holder(curve), digest=digest), DOCUMENT, NOW)


def test_a_signer_named_by_key_identifier_is_accepted() -> None:
    key_id = as_asn1(world().holder).key_identifier

    # RFC 5652 5.1: a version 3 SignerInfo makes the SignedData version 3 too.
    def version_3(signed_data: cms.SignedData) -> cms.SignedData:
        signed_data["version"] = "v3"
        return signed_data

    verify(sign(world().holder, key_id=key_id, change_signed_data=version_3), DOCUMENT, NOW)


def test_another_key_identifier_is_refused() -> None:
    assert fault(sign(world().holder, key_id=b"\x00" * 20)) is SignatureFault.SIGNER_MISMATCH


def test_another_document_is_refused() -> None:
    assert fault(sign(world().holder), DOCUMENT + b" ") is SignatureFault.MESSAGE_DIGEST


def test_a_signature_of_another_key_is_refused() -> None:
    forged = Holder(certificate=world().holder.certificate, key=other_holder().key)

    assert fault(sign(forged)) is SignatureFault.INVALID


@pytest.mark.parametrize("more", [b"\x00", b"\x30\x00", b"\n"])
def test_bytes_after_the_signature_are_refused(more: bytes) -> None:
    assert fault(sign(world().holder) + more) is SignatureFault.NOT_DER


def test_an_indefinite_length_is_refused() -> None:
    good = sign(world().holder)
    contents = good[4:]

    assert fault(b"\x30\x80" + contents + b"\x00\x00") is SignatureFault.NOT_DER


def test_a_length_longer_than_need_be_is_refused() -> None:
    good = sign(world().holder)
    assert good[1] == 0x82

    assert fault(b"\x30\x83\x00" + good[2:]) is SignatureFault.NOT_DER


def test_too_many_bytes_are_refused_unread() -> None:
    assert fault(b"\x30" * (MAX_BYTES + 1)) is SignatureFault.TOO_LARGE


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x05\x00", b"\x30\x00", b"not a signature"])
def test_junk_is_refused(junk: bytes) -> None:
    assert fault(junk) in {SignatureFault.NOT_DER, SignatureFault.MALFORMED}


def test_another_content_type_of_cms_is_refused() -> None:
    data = cms.ContentInfo({"content_type": "data", "content": core.OctetString(DOCUMENT)})

    assert fault(data.dump()) is SignatureFault.NOT_SIGNED_DATA


def changed_signed_data(**fields: Any) -> bytes:
    def change(signed_data: cms.SignedData) -> cms.SignedData:
        for name, value in fields.items():
            signed_data[name] = value
        return signed_data

    return sign(world().holder, change_signed_data=change)


def test_an_attached_document_is_refused() -> None:
    attached = {"content_type": "data", "content": DOCUMENT}

    assert fault(changed_signed_data(encap_content_info=attached)) is SignatureFault.NOT_DETACHED


def test_an_empty_attached_document_is_refused() -> None:
    attached = {"content_type": "data", "content": b""}

    assert fault(changed_signed_data(encap_content_info=attached)) is SignatureFault.NOT_DETACHED


def test_another_inner_content_type_is_refused() -> None:
    content = {"content_type": "1.2.840.113549.1.9.16.1.4"}

    assert fault(changed_signed_data(encap_content_info=content)) is SignatureFault.CONTENT_TYPE


def test_two_signers_are_refused() -> None:
    def twice(signed_data: cms.SignedData) -> cms.SignedData:
        second = cms.ContentInfo.load(sign(other_holder()))["content"]["signer_infos"][0]
        signed_data["signer_infos"] = [*signed_data["signer_infos"], second]
        return signed_data

    assert fault(sign(world().holder, change_signed_data=twice)) is SignatureFault.SIGNERS


def test_no_signer_is_refused() -> None:
    assert fault(changed_signed_data(signer_infos=[])) is SignatureFault.SIGNERS


def test_two_certificates_are_refused() -> None:
    both = [cms.CertificateChoices("certificate", as_asn1(holder)) for holder in (world().holder, other_holder())]

    assert fault(changed_signed_data(certificates=both)) is SignatureFault.CERTIFICATES


def test_no_certificate_is_refused() -> None:
    assert fault(changed_signed_data(certificates=[])) is SignatureFault.CERTIFICATES
    assert fault(changed_signed_data(certificates=None)) is SignatureFault.CERTIFICATES


def test_another_certificate_than_the_signers_is_refused() -> None:
    other = [cms.CertificateChoices("certificate", as_asn1(other_holder()))]

    assert fault(changed_signed_data(certificates=other)) is SignatureFault.SIGNER_MISMATCH


def test_another_certificate_with_the_same_key_and_name_is_refused() -> None:
    """Substitution: the signature value fits, the certificate that was signed with does not."""
    genuine = world().holder
    serial = genuine.certificate.serial_number
    twin = issue(world().sub, Leaf(key=genuine.key, serial=serial, not_after=NOW + timedelta(days=9)))
    certificates = [cms.CertificateChoices("certificate", as_asn1(twin))]

    assert fault(changed_signed_data(certificates=certificates)) is SignatureFault.SIGNING_CERTIFICATE


@pytest.mark.parametrize("version", ["v3", "v5"])
def test_a_version_that_does_not_fit_is_refused(version: str) -> None:
    assert fault(changed_signed_data(version=version)) is SignatureFault.MALFORMED


def test_crls_sent_along_are_refused() -> None:
    crl = cms.RevocationInfoChoice.load(world().crls()[0])

    assert fault(changed_signed_data(crls=[crl])) is SignatureFault.EXTRAS


def test_unsigned_attributes_are_refused() -> None:
    def change(signer: cms.SignerInfo) -> cms.SignerInfo:
        signer["unsigned_attrs"] = [attribute("1.2.3.4", core.Integer(1))]
        return signer

    assert fault(sign(world().holder, change_signer=change)) is SignatureFault.EXTRAS


def test_a_signature_without_signed_attributes_is_refused() -> None:
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


def attributes_changed_to(change: Any, holder: Holder | None = None) -> bytes:
    return sign(holder or world().holder, change_attributes=change)


def replaced(kind: str, *values: Any) -> Any:
    def change(attributes: Attributes) -> Attributes:
        kept = [each for each in attributes if each["type"].native != kind]
        return [*kept, attribute(kind, *values)] if values else kept

    return change


@pytest.mark.parametrize("kind", ["content_type", "message_digest", "signing_time"])
def test_a_missing_attribute_is_refused(kind: str) -> None:
    assert fault(attributes_changed_to(replaced(kind))) is SignatureFault.ATTRIBUTES


def test_an_attribute_given_twice_is_refused() -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, attribute("message_digest", hashlib.sha256(b"another").digest())]

    assert fault(attributes_changed_to(change)) is SignatureFault.ATTRIBUTES


def test_an_attribute_with_two_values_is_refused() -> None:
    digests = [hashlib.sha256(document).digest() for document in (DOCUMENT, b"another")]

    assert fault(attributes_changed_to(replaced("message_digest", *digests))) is SignatureFault.ATTRIBUTES


def test_a_content_type_attribute_that_differs_is_refused() -> None:
    assert fault(attributes_changed_to(replaced("content_type", "signed_data"))) is SignatureFault.CONTENT_TYPE


def test_a_message_digest_of_another_hash_is_refused() -> None:
    assert fault(sign(world().holder, inner_digest="sha512")) is SignatureFault.MESSAGE_DIGEST


def test_unknown_signed_attributes_are_accepted() -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, attribute("1.2.3.4", core.Integer(1))]

    verify(attributes_changed_to(change), DOCUMENT, NOW)


def test_sha1_is_refused() -> None:
    assert fault(sign(world().holder, digest="sha1")) is SignatureFault.ALGORITHM


def test_an_announced_digest_that_differs_is_refused() -> None:
    announced = [algos.DigestAlgorithm({"algorithm": "sha512"})]

    assert fault(changed_signed_data(digest_algorithms=announced)) is SignatureFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["sha512_rsa", "sha1_rsa", "sha256_ecdsa", "sha256_dsa"])
def test_a_signature_algorithm_of_another_hash_or_key_is_refused(algorithm: str) -> None:
    assert fault(sign(world().holder, algorithm=algorithm)) is SignatureFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["sha384_ecdsa", "sha256_rsa", "rsassa_pkcs1v15"])
def test_an_ecdsa_algorithm_of_another_hash_or_key_is_refused(algorithm: str) -> None:
    assert fault(sign(ec_holder(ec.SECP256R1), algorithm=algorithm)) is SignatureFault.ALGORITHM


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(pss("sha512"), id="another hash"),
        pytest.param(pss("sha256", mask="sha1"), id="another hash in the mask"),
        pytest.param(pss("sha256", salt=20), id="short salt"),
        pytest.param({**pss("sha1"), "salt_length": 20}, id="defaults left out"),
        pytest.param({**pss("sha256"), "trailer_field": 2}, id="another trailer"),
        pytest.param(
            {**pss("sha256"), "mask_gen_algorithm": {"algorithm": "1.2.3.4", "parameters": SHA256}}, id="another mask"
        ),
    ],
)
def test_pss_parameters_that_disagree_are_refused(parameters: dict[str, Any]) -> None:
    forged = sign(world().holder, algorithm="rsassa_pss", parameters=parameters)

    assert fault(forged) is SignatureFault.ALGORITHM


def test_a_pss_salt_of_absurd_length_is_refused() -> None:
    def change(signer: cms.SignerInfo) -> cms.SignerInfo:
        signer["signature_algorithm"]["parameters"]["salt_length"] = 2**70
        return signer

    assert fault(sign(world().holder, algorithm="rsassa_pss", change_signer=change)) is SignatureFault.ALGORITHM


def test_an_explicit_default_in_pss_parameters_is_not_der() -> None:
    good = sign(world().holder, algorithm="rsassa_pss")
    parameters = algos.RSASSAPSSParams(pss("sha256")).dump()
    trailer = bytes.fromhex("a303020101")
    longer = bytes([0x30, parameters[1] + len(trailer)]) + parameters[2:] + trailer

    def change(signer: cms.SignerInfo) -> cms.SignerInfo:
        algorithm = bytes.fromhex("06092a864886f70d01010a") + longer
        whole = bytes([0x30, len(algorithm)]) + algorithm
        signer["signature_algorithm"] = algos.SignedDigestAlgorithm.load(whole)
        return signer

    verify(good, DOCUMENT, NOW)
    assert fault(sign(world().holder, algorithm="rsassa_pss", change_signer=change)) is SignatureFault.NOT_DER


def test_a_key_too_short_is_refused() -> None:
    weak = issue(world().sub, Leaf(key=builders.rsa_key("weak", 1024)))

    assert fault(sign(weak)) is SignatureFault.WEAK_KEY


def test_a_curve_that_is_not_allowed_is_refused() -> None:
    assert fault(sign(ec_holder(ec.SECP521R1))) is SignatureFault.WEAK_KEY


def algorithm_protection(digest: str, algorithm: str, **more: Any) -> cms.CMSAttribute:
    value = cms.CMSAlgorithmProtection(
        {"digest_algorithm": {"algorithm": digest}, "signature_algorithm": {"algorithm": algorithm}, **more}
    )
    return attribute("cms_algorithm_protection", value)


def test_algorithm_protection_that_agrees_is_accepted() -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, algorithm_protection("sha256", "rsassa_pkcs1v15")]

    verify(attributes_changed_to(change), DOCUMENT, NOW)


@pytest.mark.parametrize(("digest", "algorithm"), [("sha512", "rsassa_pkcs1v15"), ("sha256", "sha512_rsa")])
def test_algorithm_protection_that_disagrees_is_refused(digest: str, algorithm: str) -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, algorithm_protection(digest, algorithm)]

    assert fault(attributes_changed_to(change)) is SignatureFault.ALGORITHM_PROTECTION


def test_algorithm_protection_of_a_mac_is_refused() -> None:
    def change(attributes: Attributes) -> Attributes:
        mac = {"mac_algorithm": {"algorithm": "sha256"}}
        return [*attributes, algorithm_protection("sha256", "rsassa_pkcs1v15", **mac)]

    assert fault(attributes_changed_to(change)) is SignatureFault.ALGORITHM_PROTECTION


def test_a_missing_signing_certificate_attribute_is_refused() -> None:
    missing = replaced("signing_certificate_v2")

    assert fault(attributes_changed_to(missing)) is SignatureFault.SIGNING_CERTIFICATE


def with_signing_certificate(**changes: Any) -> Any:
    def change(attributes: Attributes) -> Attributes:
        kept = [each for each in attributes if each["type"].native != "signing_certificate_v2"]
        return [*kept, signing_certificate(world().holder, **changes)]

    return change


def test_a_signing_certificate_with_issuer_and_serial_is_accepted() -> None:
    change = with_signing_certificate(issuer_serial=issuer_serial(world().holder))

    verify(attributes_changed_to(change), DOCUMENT, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"cert_hash": b"\x00" * 32}, id="another certificate"),
        pytest.param({"hash_algorithm": {"algorithm": "sha1"}, "cert_hash": b"\x00" * 20}, id="sha1"),
    ],
)
def test_a_signing_certificate_that_differs_is_refused(changes: dict[str, Any]) -> None:
    forged = attributes_changed_to(with_signing_certificate(**changes))

    assert fault(forged) is SignatureFault.SIGNING_CERTIFICATE


def test_a_signing_certificate_of_another_serial_number_is_refused() -> None:
    forged = attributes_changed_to(with_signing_certificate(issuer_serial=issuer_serial(world().holder, serial=7)))

    assert fault(forged) is SignatureFault.SIGNING_CERTIFICATE


def test_a_signing_certificate_of_another_issuer_is_refused() -> None:
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
def test_a_signing_time_near_the_receipt_is_accepted(minutes: int) -> None:
    verify(sign(world().holder), DOCUMENT, NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize("seconds", [-601, 601, 86_400 * 365])
def test_a_signing_time_far_from_the_receipt_is_refused(seconds: int) -> None:
    late = NOW + timedelta(seconds=seconds)

    assert fault(sign(world().holder), now=late) is SignatureFault.SIGNING_TIME


def test_a_signing_time_in_the_wrong_type_is_refused() -> None:
    general = cms.Time("generalized_time", core.GeneralizedTime(datetime(2026, 11, 23, 4, tzinfo=UTC)))

    assert fault(attributes_changed_to(replaced("signing_time", general))) is SignatureFault.SIGNING_TIME


def test_the_builder_signs_what_the_profile_asks_for() -> None:
    kinds = {each["type"].native for each in attributes_of(world().holder, Sign())}

    assert kinds == {"content_type", "signing_time", "message_digest", "signing_certificate_v2"}

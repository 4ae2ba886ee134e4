"""The shape of a signature: one document, one signer, one certificate; each other shape has its own refusal."""

from datetime import timedelta

import pytest
from asn1crypto import cms, core

from services.identity.cms import MAX_BYTES, verify
from services.identity.refusals import SignatureFault
from tests.unit.services.identity.builders import NOW, Holder, Leaf, issue, world
from tests.unit.services.identity.cms_builder import DOCUMENT, as_asn1, attribute, sign
from tests.unit.services.identity.cms_cases import changed_signed_data, fault, other_holder


def test_good_signature_names_its_certificate_and_time() -> None:
    verified = verify(sign(world().holder), DOCUMENT, NOW)

    assert verified.certificate == world().holder.certificate
    assert verified.certificate_der == world().holder.der
    assert verified.signing_time == NOW


def test_signer_named_by_key_identifier_is_accepted() -> None:
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


def test_signature_of_another_key_is_refused() -> None:
    forged = Holder(certificate=world().holder.certificate, key=other_holder().key)

    assert fault(sign(forged)) is SignatureFault.INVALID


@pytest.mark.parametrize("more", [b"\x00", b"\x30\x00", b"\n"])
def test_bytes_after_the_signature_are_refused(more: bytes) -> None:
    assert fault(sign(world().holder) + more) is SignatureFault.NOT_DER


def test_indefinite_length_is_refused() -> None:
    good = sign(world().holder)
    contents = good[4:]

    assert fault(b"\x30\x80" + contents + b"\x00\x00") is SignatureFault.NOT_DER


def test_non_minimal_length_is_refused() -> None:
    good = sign(world().holder)
    assert good[1] == 0x82

    assert fault(b"\x30\x83\x00" + good[2:]) is SignatureFault.NOT_DER


def test_too_large_signature_is_refused_unread() -> None:
    assert fault(b"\x30" * (MAX_BYTES + 1)) is SignatureFault.TOO_LARGE


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x05\x00", b"\x30\x00", b"not a signature"])
def test_junk_is_refused(junk: bytes) -> None:
    assert fault(junk) in {SignatureFault.NOT_DER, SignatureFault.MALFORMED}


def test_another_content_type_of_cms_is_refused() -> None:
    data = cms.ContentInfo({"content_type": "data", "content": core.OctetString(DOCUMENT)})

    assert fault(data.dump()) is SignatureFault.NOT_SIGNED_DATA


def test_attached_document_is_refused() -> None:
    attached = {"content_type": "data", "content": DOCUMENT}

    assert fault(changed_signed_data(encap_content_info=attached)) is SignatureFault.NOT_DETACHED


def test_empty_attached_document_is_refused() -> None:
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
def test_version_that_does_not_fit_is_refused(version: str) -> None:
    assert fault(changed_signed_data(version=version)) is SignatureFault.MALFORMED


def test_embedded_crls_are_refused() -> None:
    crl = cms.RevocationInfoChoice.load(world().crls()[0])

    assert fault(changed_signed_data(crls=[crl])) is SignatureFault.EXTRAS


def test_unsigned_attributes_are_refused() -> None:
    def change(signer: cms.SignerInfo) -> cms.SignerInfo:
        signer["unsigned_attrs"] = [attribute("1.2.3.4", core.Integer(1))]
        return signer

    assert fault(sign(world().holder, change_signer=change)) is SignatureFault.EXTRAS

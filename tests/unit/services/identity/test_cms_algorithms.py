"""Which algorithms and keys sign, and that nothing in a signature may disagree about them."""

import functools
from typing import Any

import pytest
from asn1crypto import algos, cms
from cryptography.hazmat.primitives.asymmetric import ec

from services.identity.cms import verify
from services.identity.refusals import SignatureFault
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import NOW, Holder, Leaf, issue, world
from tests.unit.services.identity.cms_builder import DOCUMENT, Attributes, attribute, pss, sign
from tests.unit.services.identity.cms_cases import attributes_changed_to, changed_signed_data, fault
from tests.unit.services.identity.spellings import spellings

SHA256 = algos.DigestAlgorithm({"algorithm": "sha256"})


@functools.cache
def ec_holder(curve: type[ec.EllipticCurve]) -> Holder:
    return issue(world().sub, Leaf(key=builders.ec_key(f"holder {curve.name}", curve)))


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("scheme", ["rsassa_pkcs1v15", "{}_rsa", "rsassa_pss"])
def test_rsa_signatures_with_each_sha2_hash_are_accepted(digest: str, scheme: str) -> None:
    verified = verify(sign(world().holder, digest=digest, algorithm=scheme.format(digest)), DOCUMENT, NOW)

    assert verified.hash_name == digest


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1])
def test_ecdsa_signatures_are_accepted(digest: str, curve: type[ec.EllipticCurve]) -> None:
    verify(sign(ec_holder(curve), digest=digest), DOCUMENT, NOW)


def test_sha1_is_refused() -> None:
    assert fault(sign(world().holder, digest="sha1")) is SignatureFault.ALGORITHM


def test_announced_digest_that_differs_is_refused() -> None:
    announced = [algos.DigestAlgorithm({"algorithm": "sha512"})]

    assert fault(changed_signed_data(digest_algorithms=announced)) is SignatureFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["sha512_rsa", "sha1_rsa", "sha256_ecdsa", "sha256_dsa"])
def test_signature_algorithm_of_another_hash_or_key_is_refused(algorithm: str) -> None:
    assert fault(sign(world().holder, algorithm=algorithm)) is SignatureFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["sha384_ecdsa", "sha256_rsa", "rsassa_pkcs1v15"])
def test_ecdsa_algorithm_of_another_hash_or_key_is_refused(algorithm: str) -> None:
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


def test_pss_salt_of_absurd_length_is_refused() -> None:
    def change(signer: cms.SignerInfo) -> cms.SignerInfo:
        signer["signature_algorithm"]["parameters"]["salt_length"] = 2**70
        return signer

    assert fault(sign(world().holder, algorithm="rsassa_pss", change_signer=change)) is SignatureFault.ALGORITHM


def test_explicit_default_in_pss_parameters_is_not_der() -> None:
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


def test_key_too_short_is_refused() -> None:
    weak = issue(world().sub, Leaf(key=builders.rsa_key("weak", 1024)))

    assert fault(sign(weak)) is SignatureFault.WEAK_KEY


def test_curve_that_is_not_allowed_is_refused() -> None:
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


def test_under_algorithm_protection_no_other_spelling_of_the_signature_algorithm_is_accepted() -> None:
    def change(attributes: Attributes) -> Attributes:
        return [*attributes, algorithm_protection("sha256", "rsassa_pkcs1v15")]

    signed = attributes_changed_to(change)
    respelt = [spelling for spelling in spellings(signed) if _scheme(spelling) != _scheme(signed)]

    assert respelt
    assert {fault(spelling) for spelling in respelt} == {SignatureFault.ALGORITHM_PROTECTION}


def _scheme(signature: bytes) -> bytes:
    return bytes(cms.ContentInfo.load(signature)["content"]["signer_infos"][0]["signature_algorithm"].dump())

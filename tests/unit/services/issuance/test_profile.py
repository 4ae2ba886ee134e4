"""The certificate as issued: by its fields, by pkilint, and by openssl."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.issuance.ca import lint, profiles
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.profiles import Leaf, SubjectRefused, assemble, leaf_tbs, new_serial, tbs_of
from services.issuance.ca.signer import SoftwareSigner, throwaway_like
from services.issuance.ca.validity_policy import validity
from services.issuance.certificate_forms import pem
from services.issuance.csr import csr
from services.issuance.domain import Organisation
from tests.unit.services.issuance.csr.csrs import csr_der, ec_key, rsa_key
from tests.unit.services.issuance.pki import ADDRESSES, NOW, ORGANISATION, issuing_ca, leaf

OPENSSL_VERIFY = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "www.example.hk"]


def tbs_for(order: Leaf, kind: str = "rsa") -> bytes:
    ca, signer = issuing_ca(kind)
    return leaf_tbs(order, ca, ADDRESSES, signer.algorithm)


def issue(order: Leaf, kind: str = "rsa") -> x509.Certificate:
    _, signer = issuing_ca(kind)
    tbs = tbs_for(order, kind)
    return x509.load_der_x509_certificate(assemble(tbs, signer.algorithm, signer.sign(tbs)))


def lint_codes(tbs: bytes, order: Leaf, kind: str = "rsa", now: object = None) -> set[str]:
    ca, signer = issuing_ca(kind)
    found = lint.findings(tbs, order, ca, NOW if now is None else now, throwaway_like(signer))  # type: ignore[arg-type]
    return {finding.code for finding in found}


MULTI_DOMAIN = tuple(f"n{i}.example.hk" for i in range(50))


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("names", [("www.example.hk",), ("*.example.hk", "example.hk"), MULTI_DOMAIN])
def test_pkilint_and_our_own_checks_find_nothing(names: tuple[str, ...], kind: str) -> None:
    spki = csr.read_der(csr_der(ec_key())).spki if kind == "ec" else None
    order = leaf(names=names, spki=spki)
    assert lint_codes(tbs_for(order, kind), order, kind) == set()


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_verifies_the_certificate(kind: str, tmp_path: Path) -> None:
    ca, _ = issuing_ca(kind)
    (tmp_path / "root.pem").write_bytes(ca.chain[0].public_bytes(serialization.Encoding.PEM))
    (tmp_path / "chain.pem").write_bytes(pem([*ca.served]))
    (tmp_path / "leaf.pem").write_bytes(issue(leaf(), kind).public_bytes(serialization.Encoding.PEM))
    at = str(int(NOW.timestamp()) + 5)
    result = subprocess.run(
        [*OPENSSL_VERIFY, "-attime", at, "-CAfile", "root.pem", "-untrusted", "chain.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "leaf.pem: OK\n", result.stderr


def test_certificate_fields_are_those_of_the_profile() -> None:
    ca, _ = issuing_ca()
    certificate = issue(leaf(names=("*.example.hk", "example.hk")))
    assert [a.oid for a in certificate.subject] == [
        NameOID.COUNTRY_NAME, NameOID.LOCALITY_NAME, NameOID.ORGANIZATION_NAME,
    ]  # fmt: skip
    extensions = {e.oid._name: (e.critical, e.value) for e in certificate.extensions}
    assert set(extensions) == {
        "authorityKeyIdentifier", "authorityInfoAccess", "certificatePolicies", "cRLDistributionPoints",
        "extendedKeyUsage", "basicConstraints", "keyUsage", "subjectAltName",
    }  # fmt: skip
    assert {name for name, (critical, _) in extensions.items() if critical} == {"basicConstraints", "keyUsage"}
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]
    policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [(p.policy_identifier.dotted_string, p.policy_qualifiers) for p in policies] == [("2.23.140.1.2.2", None)]
    assert certificate.issuer.public_bytes() == ca.subject
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc) == timedelta(days=199, seconds=-1)


@pytest.mark.parametrize(("key", "enciphers"), [(rsa_key(2048), True), (ec_key(), False)], ids=["RSA", "EC"])
def test_rsa_key_may_encipher_keys_for_browsers_that_ask_for_it(key: object, enciphers: bool) -> None:
    issued = issue(leaf(spki=csr.read_der(csr_der(key)).spki))  # type: ignore[arg-type]
    usage = issued.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.content_commitment) == (True, enciphers, False)


def test_our_own_policy_comes_after_the_reserved_one_and_lints_clean() -> None:
    ca, signer = issuing_ca()
    order = leaf()
    tbs = leaf_tbs(order, ca, replace(ADDRESSES, own_policy_oid="1.3.6.1.4.1.16030.1.7.21"), signer.algorithm)
    assert lint_codes(tbs, order) == set()
    signed = x509.load_der_x509_certificate(assemble(tbs, signer.algorithm, signer.sign(tbs)))
    policies = signed.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [p.policy_identifier.dotted_string for p in policies] == ["2.23.140.1.2.2", "1.3.6.1.4.1.16030.1.7.21"]


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_signing_stored_bytes_again_repeats_the_certificate_byte_for_byte(kind: str) -> None:
    _, signer = issuing_ca(kind)
    tbs = tbs_for(leaf(), kind)
    first = assemble(tbs, signer.algorithm, signer.sign(tbs))
    assert assemble(tbs, signer.algorithm, signer.sign(bytes(tbs))) == first
    assert tbs_of(first) == tbs


@pytest.mark.parametrize("serial", [1, 127, 128, 255, 2**158, 2**159 - 1])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_bytes_are_what_another_encoder_makes_of_their_content(kind: str, serial: int) -> None:
    spki = csr.read_der(csr_der(ec_key() if kind == "ec" else rsa_key())).spki
    tbs = tbs_for(replace(leaf(names=("*.example.hk", "example.hk"), spki=spki), serial=serial), kind)
    parsed = asn1_x509.TbsCertificate.load(tbs, strict=True)
    assert parsed["serial_number"].native == serial
    assert parsed.dump(force=True) == tbs


def test_serial_has_the_sites_prefix_and_128_random_bits() -> None:
    serial = new_serial(0x7FFF, lambda count: b"\xff" * count)
    assert serial >> 128 == 0x7FFF
    assert serial < 2**159
    with pytest.raises(ValueError, match="site prefix"):
        new_serial(0, lambda count: b"\x00" * count)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "X" * 65},
        {"name": ""},
        {"name": "-"},
        {"name": "N/A"},
        {"name": " Example Limited"},
        {"locality": None},
        {"locality": "x" * 129},
        {"country": "hk"},
        {"country": "HKG"},
    ],
)
def test_record_that_cannot_be_a_subject_is_refused(change: dict[str, str | None]) -> None:
    with pytest.raises(SubjectRefused):
        tbs_for(leaf(organisation=replace(ORGANISATION, **change)))  # type: ignore[arg-type]


def test_organisation_of_64_chinese_characters_is_issued() -> None:
    order = leaf(organisation=Organisation(name="香" * 64, country="HK", state_or_province="Hong Kong"))
    assert lint_codes(tbs_for(order), order) == set()


def test_own_checks_find_faults_that_pkilint_misses() -> None:
    order = leaf()
    tbs = tbs_for(order)
    assert lint_codes(tbs, replace(order, names=("evil.example.hk",))) == {"issuance.names_differ"}
    assert lint_codes(tbs, replace(order, serial=1)) == {"issuance.serial_differs"}
    other = csr.read_der(csr_der(ec_key())).spki
    assert lint_codes(tbs, replace(order, spki=other)) == {"issuance.key_differs"}
    assert lint_codes(tbs, order, now=NOW + timedelta(hours=49)) == {"issuance.not_before_not_fresh"}
    assert lint_codes(tbs, order, now=NOW - timedelta(hours=1)) == {"issuance.not_before_not_fresh"}
    later = validity(NOW)
    too_long = leaf(lives=replace(later, not_after=later.not_after + timedelta(days=2)))
    assert "issuance.validity_too_long" in lint_codes(tbs_for(too_long), too_long)


@pytest.mark.parametrize(("signed_at", "too_long"), [(timedelta(seconds=-1), False), (timedelta(0), True)])
def test_bytes_that_waited_are_judged_by_the_rules_of_the_day_they_are_signed(
    signed_at: timedelta, too_long: bool
) -> None:
    shorter = datetime(2027, 3, 15, tzinfo=UTC)
    order = leaf(lives=validity(shorter - timedelta(hours=10)))
    assert ("issuance.validity_too_long" in lint_codes(tbs_for(order), order, now=shorter + signed_at)) is too_long


def test_pkilint_stops_a_name_with_an_underscore_and_an_internal_address() -> None:
    order = leaf(names=("a_b.example.hk",))
    assert any("underscore" in code or "dns" in code for code in lint_codes(tbs_for(order), order))
    ca, signer = issuing_ca()
    internal = leaf_tbs(leaf(), ca, replace(ADDRESSES, crl_url="http://crl.test/a.crl"), signer.algorithm)
    assert lint_codes(internal, leaf())


def test_bytes_with_client_authentication_are_stopped() -> None:
    order = leaf()
    tbs = asn1_x509.TbsCertificate.load(tbs_for(order))
    for extension in tbs["extensions"]:
        if extension["extn_id"].native == "extended_key_usage":
            extension["extn_value"] = asn1_x509.ExtKeyUsageSyntax(["server_auth", "client_auth"])
    assert lint_codes(tbs.dump(force=True), order) == {"issuance.extended_key_usage"}


def test_bytes_that_are_no_certificate_are_a_lint_finding() -> None:
    tbs = bytearray(tbs_for(leaf()))
    tbs[60] ^= 0xFF
    assert lint_codes(bytes(tbs), leaf())


def test_key_that_is_not_the_cas_is_refused_at_start() -> None:
    ca, signer = issuing_ca()
    ca.check_signer(signer)
    with pytest.raises(ValueError, match="does not belong"):
        ca.check_signer(throwaway_like(signer))


def test_chain_served_leaves_the_root_out() -> None:
    ca, _ = issuing_ca()
    assert ca.served == IssuingCA(ca.certificate).served == (ca.certificate,)


def test_small_ca_key_is_refused() -> None:
    with pytest.raises(ValueError, match="1024 bits"):
        SoftwareSigner(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    assert SoftwareSigner(ec.generate_private_key(ec.SECP256R1())).algorithm


@pytest.mark.parametrize(
    "change",
    [
        {"name": name}
        for name in (
            *("Ex\u202eample Limited", "Ex\u200bample Limited", "Ex\u0085ample Limited", "Ex\ufffdample Limited"),
            *("Ex\ue000ample Limited", "Internet Widgits Pty Ltd", "n.a.", "N/A", "不適用", "Chan &amp; Sons"),
        )
    ]
    + [{"country": "ZZ"}, {"locality": "N/A"}, {"locality": None}],
)
def test_lint_refuses_a_subject_that_the_records_rule_refuses(
    change: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = leaf(organisation=replace(ORGANISATION, **change))  # type: ignore[arg-type]
    with monkeypatch.context() as patched:
        patched.setattr(profiles, "check_organisation", lambda _: None)
        tbs = tbs_for(order)

    assert "issuance.subject_refused" in lint_codes(tbs, order)


def test_lint_compares_the_subject_with_the_order() -> None:
    tbs = tbs_for(leaf())
    other = leaf(organisation=replace(ORGANISATION, name="Other Company Limited"))

    assert "issuance.subject_differs" in lint_codes(tbs, replace(leaf(), organisation=other.organisation))


@pytest.mark.parametrize(
    "organisation",
    [
        Organisation(name="A", country="MO", locality="澳門"),
        Organisation(name="CHAN & SONS (H.K.) LIMITED", country="GB", state_or_province="x" * 128),
        Organisation(name='O’Brien, Ng + Partners; "Star" #1 <HK> \\ Co.', country="HK", locality="y" * 128),
        Organisation(name="香港𨋢有限公司", country="HK", state_or_province="香港", locality="九龍"),
        Organisation(name="Café Ørsted ĄŁŻ", country="TW", locality="臺北"),
    ],
    ids=lambda organisation: organisation.name[:12],
)
def test_every_accepted_record_lints_clean(organisation: Organisation) -> None:
    order = leaf(organisation=organisation)

    assert lint_codes(tbs_for(order), order) == set()

"""Lint of bytes that other programs, or faults of ours, could make: each fault is found, and each boundary is exact."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1_x509

from services.issuance.ca import lint
from services.issuance.ca.profiles import assemble, leaf_tbs
from services.issuance.ca.validity_policy import Validity
from services.issuance.ct.tbs import precertificate
from tests.unit.services.issuance.pki import ADDRESSES, ORGANISATION, issuing_ca, leaf

Change = Callable[[asn1_x509.TbsCertificate], None]
STAND_INS = [
    *("N/A", "n.a.", "NA", "Not Applicable", "not-applicable", "NOT AVAILABLE", "None", "null", "unknown", "TBC"),
    *("不適用", "不适用", "「不適用」", "無", "无", "沒有", "未知", "不詳", "待定", "Ｎ／Ａ", "暫無", "未提供"),
    *("Not specified", "not provided", "unspecified", "not known"),
    *(".", "-", " ", "--", "…", "———", "*", "?", "()"),
]
CHARACTERS = [
    *(0x00, 0x0A, 0x1F, 0x7F, 0x80, 0x85, 0x9F, 0xAD, 0x200B, 0x200E, 0x202E, 0x2028, 0x2066),
    *(0xFEFF, 0xFFFD, 0xE000),
]


def codes(change: Change = lambda tbs: None, lives: Validity | None = None) -> set[str]:
    """Return what the lint of a published certificate finds after a change of its bytes."""
    ca, signer = issuing_ca()
    tbs = asn1_x509.TbsCertificate.load(leaf_tbs(leaf(lives=lives), ca, ADDRESSES, signer.algorithm))
    change(tbs)
    signed = tbs.dump(force=True)
    return {each.code for each in lint.published_findings(assemble(signed, signer.algorithm, signer.sign(signed)))}


def organisation(name: str) -> Change:
    return subject(("country_name", "HK"), ("locality_name", "Hong Kong"), ("organization_name", name))


def subject(*attributes: tuple[str, str]) -> Change:
    """Return a change of the subject, each attribute in an RDN of its own."""

    def change(tbs: asn1_x509.TbsCertificate) -> None:
        rdns = [asn1_x509.RelativeDistinguishedName([_attribute(kind, value)]) for kind, value in attributes]
        tbs["subject"] = asn1_x509.Name(name="", value=asn1_x509.RDNSequence(rdns))

    return change


def _attribute(kind: str, value: str) -> asn1_x509.NameTypeAndValue:
    text = {"country_name": core.PrintableString, "email_address": asn1_x509.EmailAddress}.get(kind, _utf8)(value)
    return asn1_x509.NameTypeAndValue({"type": kind, "value": text})


def _utf8(value: str) -> asn1_x509.DirectoryString:
    return asn1_x509.DirectoryString(name="utf8_string", value=core.UTF8String(value))


def usages(*kinds: str) -> Change:
    def change(tbs: asn1_x509.TbsCertificate) -> None:
        for extension in tbs["extensions"]:
            if extension["extn_id"].native == "extended_key_usage":
                extension["extn_value"] = asn1_x509.ExtKeyUsageSyntax([*kinds])

    return change


def test_unchanged_bytes_have_no_finding() -> None:
    assert codes() == codes(organisation(ORGANISATION.name)) == set()


@pytest.mark.parametrize("text", STAND_INS)
def test_word_that_stands_for_a_value_is_found_in_every_field(text: str) -> None:
    for place in ("locality_name", "state_or_province_name"):
        other = subject(("country_name", "HK"), (place, text), ("organization_name", "Example Limited"))
        assert "issuance.subject_refused" in codes(other)
    assert "issuance.subject_refused" in codes(organisation(text))


@pytest.mark.parametrize("code", CHARACTERS, ids=lambda code: f"U+{code:04X}")
def test_control_or_format_character_is_found(code: int) -> None:
    assert "issuance.subject_refused" in codes(organisation(f"Ex{chr(code)}ample Limited"))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("common_name", "www.example.hk"), "issuance.subject_refused"),
        (("common_name", "other.example.hk"), "issuance.common_name_not_in_san"),
        (("common_name", "WWW.example.hk"), "issuance.common_name_not_in_san"),
        (("organizational_unit_name", "IT"), "issuance.subject_refused"),
        (("organization_name", "Example Limited"), "issuance.subject_refused"),
        (("locality_name", "Hong Kong"), "issuance.subject_refused"),
        (("email_address", "a@example.hk"), "issuance.subject_refused"),
    ],
)
def test_attribute_beside_those_of_the_profile_is_found(more: tuple[str, str], code: str) -> None:
    usual = (("country_name", "HK"), ("locality_name", "Hong Kong"), ("organization_name", "Example Limited"))
    assert code in codes(subject(*usual, more))


def days(number: int, seconds: int = 0) -> timedelta:
    """Return the difference of notAfter and notBefore in a certificate of so many days: its last second is inside."""
    return timedelta(days=number, seconds=seconds - 1)


@pytest.mark.parametrize(
    ("begins", "length", "is_too_long"),
    [
        (datetime(2026, 11, 30, tzinfo=UTC), days(200), False),
        (datetime(2026, 11, 30, tzinfo=UTC), days(200, 1), True),
        (datetime(2027, 3, 14, 23, 59, 59, tzinfo=UTC), days(200), False),
        (datetime(2027, 3, 15, tzinfo=UTC), days(100), False),
        (datetime(2027, 3, 15, tzinfo=UTC), days(100, 1), True),
        (datetime(2029, 3, 14, 23, 59, 59, tzinfo=UTC), days(100), False),
        (datetime(2029, 3, 15, tzinfo=UTC), days(47), False),
        (datetime(2029, 3, 15, tzinfo=UTC), days(47, 1), True),
    ],
)
def test_validity_is_counted_by_seconds(begins: datetime, length: timedelta, is_too_long: bool) -> None:
    found = codes(lives=Validity(not_before=begins, not_after=begins + length))
    assert ("issuance.validity_too_long" in found) is is_too_long


@pytest.mark.parametrize("begins", [datetime(2026, 11, 30, tzinfo=UTC), datetime(2027, 3, 15, tzinfo=UTC)])
@pytest.mark.parametrize(
    "kinds", [("server_auth", "client_auth"), ("client_auth",), ("server_auth", "email_protection")]
)
def test_other_usage_than_a_servers_is_found_before_and_after_browsers_forbid_it(
    begins: datetime, kinds: tuple[str, ...]
) -> None:
    lives = Validity(not_before=begins, not_after=begins + days(90))
    assert "issuance.extended_key_usage" in codes(usages(*kinds), lives)
    assert "issuance.extended_key_usage" not in codes(usages("server_auth"), lives)


def test_warm_up_builds_the_linter_of_precertificates() -> None:
    lint.warm_up()
    built = lint._linter.cache_info().misses
    ca, signer = issuing_ca()
    made = precertificate(leaf_tbs(leaf(), ca, ADDRESSES, signer.algorithm))
    assert lint.pkilint_findings(assemble(made, signer.algorithm, signer.sign(made))) == ()
    assert lint._linter.cache_info().misses == built

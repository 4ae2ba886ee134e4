"""Which CRLs are accepted, and that no usable CRL never means a pass."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from asn1crypto import crl as asn1_crl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from shared.pki import crls
from shared.pki.crl_cache import CRLCache
from shared.pki.crls import (
    CertificateListed,
    CRLRefused,
    RevocationUnknown,
    StoredCRL,
    accept,
    as_der,
    check,
    issuer_id,
    issuer_of,
)
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import CA, CRL, CRL_URL, NOW, issue, make_ca, make_crl, world

SERIAL = world().holder.certificate.serial_number
LINKS = (
    (world().holder.certificate, world().sub.certificate),
    (world().sub.certificate, world().root.certificate),
)


def reason(der: bytes, ca: CA | None = None) -> str:
    with pytest.raises(CRLRefused) as caught:
        accept(der, (ca or world().sub).certificate, NOW)
    return caught.value.reason


def held(*pairs: tuple[CA, bytes]) -> Mapping[str, list[StoredCRL]]:
    """Return CRLs as the store gives them, each under its issuer."""
    found: dict[str, list[StoredCRL]] = {}
    for ca, der in pairs:
        crl = accept(der, ca.certificate, NOW)
        found.setdefault(crl.issuer_sha256, []).append(crl)
    return found


def forced(ca: CA, der: bytes) -> StoredCRL:
    """Return a row under this issuer that never passed acceptance, as a tampered database might hold."""
    good = accept(make_crl(ca), ca.certificate, NOW)
    fields = {name: getattr(good, name) for name in ("scope", "number", "this_update", "next_update")}
    return StoredCRL(issuer_sha256=issuer_id(ca.certificate), sha256="", der=der, **fields)


def test_good_crl_is_accepted() -> None:
    crl = accept(make_crl(world().sub, CRL(number=7)), world().sub.certificate, NOW)

    assert (crl.number, crl.scope, crl.issuer_sha256) == (7, "all", issuer_id(world().sub.certificate))


def idp(**changes: object) -> x509.IssuingDistributionPoint:
    fields: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(fields | changes))  # type: ignore[arg-type]


FRESHEST = x509.FreshestCRL(
    [x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.hk/delta.crl")], None, None, None)]
)
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
BAD = {
    "another issuer's name": (CRL(issuer=builders.name("Example")), "crl-of-unknown-issuer"),
    "another key identifier": (
        CRL(authority=x509.AuthorityKeyIdentifier(b"\x00" * 20, None, None)),
        "crl-of-unknown-issuer",
    ),
    "no key identifier": (CRL(without_authority=True), "crl-of-unknown-issuer"),
    "unknown critical extension": (CRL(extra=((UNKNOWN, True),)), "crl-unknown-critical-extension"),
    "unknown critical extension in an entry": (
        CRL(revoked=(5,), entry_extra=((UNKNOWN, True),)),
        "crl-unknown-critical-extension",
    ),
    "entries of another issuer": (
        CRL(revoked=(5,), entry_extra=((x509.CertificateIssuer([x509.DNSName("a.example")]), True),)),
        "crl-unknown-critical-extension",
    ),
    "newest entries in delta lists": (CRL(extra=((FRESHEST, False),)), "crl-with-deltas"),
    "older than a week": (
        CRL(this_update=NOW - timedelta(days=7), next_update=NOW + timedelta(days=60)),
        "crl-too-old",
    ),
    "a number of 21 octets": (CRL(number=2**159), "crl-number-too-long"),
    "not yet": (CRL(this_update=NOW + timedelta(seconds=1)), "crl-not-yet-valid"),
    "outdated": (CRL(next_update=NOW), "crl-outdated"),
    "no number": (CRL(number=None), "crl-without-number"),
    "indirect": (CRL(idp=idp(indirect_crl=True, only_contains_user_certs=True)), "crl-scope"),
    "attribute certificates": (CRL(idp=idp(only_contains_attribute_certs=True)), "crl-scope"),
    "a relative name": (
        CRL(idp=idp(relative_name=x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "1")]))),
        "crl-scope",
    ),
    "some reasons": (CRL(idp=idp(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))), "crl-scope"),
}


@pytest.mark.parametrize(("crl", "expected"), BAD.values(), ids=BAD.keys())
def test_each_bad_crl_is_refused_for_its_reason(crl: CRL, expected: str) -> None:
    assert reason(make_crl(world().sub, crl)) == expected


def test_crl_without_an_expiry_is_refused() -> None:
    listed = asn1_crl.CertificateList.load(make_crl(world().sub))
    fields = listed["tbs_cert_list"]
    kept = {name: fields[name] for name in fields.native if name not in ("next_update", "revoked_certificates")}
    unending = asn1_crl.TbsCertList(kept)
    listed["tbs_cert_list"] = unending
    key = world().sub.key
    assert isinstance(key, rsa.RSAPrivateKey)
    listed["signature"] = key.sign(unending.dump(), padding.PKCS1v15(), hashes.SHA256())

    assert reason(listed.dump(force=True)) == "crl-without-next-update"


def test_other_extensions_that_are_not_critical_are_accepted() -> None:
    crl = CRL(extra=((UNKNOWN, False),), revoked=(5,), entry_extra=((UNKNOWN, False),))

    accept(make_crl(world().sub, crl), world().sub.certificate, NOW)


def test_crl_forged_by_a_sibling_is_refused() -> None:
    forged = make_crl(world().sub, signed_by=world().sibling.key)

    assert reason(forged) == "crl-signature"
    with pytest.raises(CRLRefused):
        issuer_of(forged, (world().root.certificate, world().sub.certificate, world().sibling.certificate))


def test_issuer_without_the_right_to_sign_crls_is_refused() -> None:
    mute = make_ca("No CRLs", by=world().root, uses=("key_cert_sign",))

    assert reason(make_crl(mute), mute) == "crl-issuer-may-not-sign"


def test_issuer_with_a_weak_key_is_refused() -> None:
    weak = make_ca("Weak CA", key=builders.rsa_key("weak CA", 1024))

    assert reason(make_crl(weak), weak) == "crl-weak-key"


@pytest.mark.parametrize("junk", [b"", b"\x30\x00", b"junk", make_crl(world().sub) + b"\x00"])
def test_junk_is_refused(junk: bytes) -> None:
    assert reason(junk) == "crl-unreadable"


def test_pem_is_read_as_well() -> None:
    der = make_crl(world().sub)
    pem = x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)

    assert as_der(pem) == as_der(der) == der


@pytest.mark.parametrize("data", [b"-----BEGIN X509 CRL-----\nAAAA", b"\x00" * (crls.MAX_BYTES + 1)])
def test_bad_files_are_refused(data: bytes) -> None:
    with pytest.raises(CRLRefused):
        as_der(data)


def test_issuer_is_found_by_its_key() -> None:
    issuers = (world().root.certificate, world().sub.certificate, world().sibling.certificate)

    assert issuer_of(make_crl(world().sibling), issuers) == world().sibling.certificate


def test_chain_that_no_crl_lists_is_clear() -> None:
    used = check(LINKS, held((world().root, make_crl(world().root)), (world().sub, make_crl(world().sub))), NOW)

    assert {crl.issuer_sha256 for crl in used} == {
        issuer_id(world().root.certificate),
        issuer_id(world().sub.certificate),
    }


@pytest.mark.parametrize(
    ("why", "suspended"),
    [
        (None, False),
        (x509.ReasonFlags.key_compromise, False),
        (x509.ReasonFlags.remove_from_crl, False),
        (x509.ReasonFlags.certificate_hold, True),
    ],
)
def test_listed_e_cert_is_refused(why: x509.ReasonFlags | None, suspended: bool) -> None:
    listed = make_crl(world().sub, CRL(revoked=(1, SERIAL, 2), reason=why))

    with pytest.raises(CertificateListed) as caught:
        check(LINKS, held((world().root, make_crl(world().root)), (world().sub, listed)), NOW)

    assert caught.value.suspended is suspended


def test_revoked_sub_ca_is_refused() -> None:
    listed = make_crl(world().root, CRL(revoked=(world().sub.certificate.serial_number,)))

    with pytest.raises(CertificateListed):
        check(LINKS, held((world().root, listed), (world().sub, make_crl(world().sub))), NOW)


def test_revoked_e_cert_is_refused_even_when_another_crl_is_missing() -> None:
    with pytest.raises(CertificateListed):
        check(LINKS, held((world().sub, make_crl(world().sub, CRL(revoked=(SERIAL,))))), NOW)


MISSING = {
    "nothing": (),
    "the root's only": ((world().root, make_crl(world().root)),),
    "the sub-CA's only": ((world().sub, make_crl(world().sub)),),
    "a sibling's instead of the root's": (
        (world().sub, make_crl(world().sub)),
        (world().sibling, make_crl(world().sibling)),
    ),
    "a sibling's instead of the sub-CA's": (
        (world().root, make_crl(world().root)),
        (world().sibling, make_crl(world().sibling)),
    ),
}


@pytest.mark.parametrize("pairs", MISSING.values(), ids=MISSING.keys())
def test_missing_crl_never_passes(pairs: tuple[tuple[CA, bytes], ...]) -> None:
    with pytest.raises(RevocationUnknown):
        check(LINKS, held(*pairs), NOW)


def test_expired_crl_never_passes() -> None:
    stored = held((world().root, make_crl(world().root)), (world().sub, make_crl(world().sub)))

    with pytest.raises(RevocationUnknown):
        check(LINKS, stored, NOW + timedelta(hours=23))


def test_forged_row_in_the_store_never_passes() -> None:
    forged = forced(world().sub, make_crl(world().sub, signed_by=world().sibling.key))
    stored = dict(held((world().root, make_crl(world().root)))) | {forged.issuer_sha256: [forged]}

    with pytest.raises(RevocationUnknown):
        check(LINKS, stored, NOW)


def test_siblings_row_under_the_roots_name_never_passes() -> None:
    wrong = forced(world().root, make_crl(world().sibling))
    stored = dict(held((world().sub, make_crl(world().sub)))) | {wrong.issuer_sha256: [wrong]}

    with pytest.raises(RevocationUnknown):
        check(LINKS, stored, NOW)


def test_sibling_with_the_same_name_is_distinguished_by_its_key() -> None:
    twin = make_ca("Example e-Cert CA 2 - 17", by=world().root, key=builders.rsa_key("twin"))
    listed = make_crl(twin, CRL(revoked=(SERIAL,)))

    assert reason(listed, world().sub) == "crl-of-unknown-issuer"


SCOPES = {
    "users": (idp(only_contains_user_certs=True), True),
    "CAs": (idp(only_contains_ca_certs=True), False),
    "its own partition": (idp(full_name=[x509.UniformResourceIdentifier(CRL_URL)]), True),
    "another partition": (idp(full_name=[x509.UniformResourceIdentifier("http://crl.example.hk/2.crl")]), False),
}


@pytest.mark.parametrize(("scope", "covers"), SCOPES.values(), ids=SCOPES.keys())
def test_crl_applies_to_its_scope_only(scope: x509.IssuingDistributionPoint, covers: bool) -> None:
    stored = held((world().root, make_crl(world().root)), (world().sub, make_crl(world().sub, CRL(idp=scope))))

    if covers:
        assert check(LINKS, stored, NOW)
    else:
        with pytest.raises(RevocationUnknown):
            check(LINKS, stored, NOW)


def test_partition_does_not_cover_an_e_cert_without_distribution_points() -> None:
    bare = issue(world().sub, builders.Leaf(crl_url=None))
    links = [(bare.certificate, world().sub.certificate), *LINKS[1:]]
    partition = idp(full_name=[x509.UniformResourceIdentifier(CRL_URL)])
    stored = held((world().root, make_crl(world().root)), (world().sub, make_crl(world().sub, CRL(idp=partition))))

    with pytest.raises(RevocationUnknown):
        check(links, stored, NOW)


def test_anchor_needs_no_crl() -> None:
    assert check(LINKS[:1], held((world().sub, make_crl(world().sub))), NOW)


def old(days: int) -> CRL:
    return CRL(this_update=NOW - timedelta(days=days), next_update=NOW + timedelta(days=60))


@pytest.mark.parametrize(("ca", "limit"), [("sub", 7), ("root", 190)])
def test_crl_over_its_age_limit_is_not_used_before_its_expiry(ca: str, limit: int) -> None:
    issuer = getattr(world(), ca)
    accept(make_crl(issuer, old(limit - 1)), issuer.certificate, NOW)

    assert reason(make_crl(issuer, old(limit)), issuer) == "crl-too-old"


def test_stored_crl_over_its_age_limit_never_passes() -> None:
    stored = held((world().root, make_crl(world().root, old(189))), (world().sub, make_crl(world().sub, old(0))))

    assert check(LINKS, stored, NOW)
    with pytest.raises(RevocationUnknown):
        check(LINKS, stored, NOW + timedelta(days=1))


def delta(base: int, number: int, *revoked: int, **changes: object) -> bytes:
    critical = bool(changes.pop("critical", True))
    extra = ((x509.DeltaCRLIndicator(base), critical),)
    return make_crl(world().sub, CRL(number=number, revoked=revoked, extra=extra, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("critical", [True, False])
def test_delta_crl_alone_never_passes(critical: bool) -> None:
    stored = held((world().root, make_crl(world().root)), (world().sub, delta(1, 2, critical=critical)))

    with pytest.raises(RevocationUnknown):
        check(LINKS, stored, NOW)


@pytest.mark.parametrize(
    ("whole", "why", "listed"),
    [
        (1, None, True),
        (1, x509.ReasonFlags.certificate_hold, True),
        # A delta may take an entry off a list; the next whole list says so too.
        (1, x509.ReasonFlags.remove_from_crl, False),
        # A later whole list has what the delta had, unless a suspension ended.
        (2, x509.ReasonFlags.certificate_hold, False),
    ],
)
def test_certificate_in_a_delta_crl_alone_is_refused(whole: int, why: x509.ReasonFlags | None, listed: bool) -> None:
    stored = held(
        (world().root, make_crl(world().root)),
        (world().sub, make_crl(world().sub, CRL(number=whole))),
        (world().sub, delta(1, 2, SERIAL, reason=why)),
    )

    if listed:
        with pytest.raises(CertificateListed):
            check(LINKS, stored, NOW)
    else:
        assert check(LINKS, stored, NOW)


def test_certificate_with_an_unread_delta_crl_is_unknown() -> None:
    leaf = issue(world().sub, builders.Leaf(extra=((FRESHEST, False),)))
    links = [(leaf.certificate, world().sub.certificate), *LINKS[1:]]

    with pytest.raises(RevocationUnknown):
        check(links, held((world().root, make_crl(world().root)), (world().sub, make_crl(world().sub))), NOW)


def test_ca_renewed_with_the_same_key_keeps_its_crls() -> None:
    renewed = make_ca("Example e-Cert CA 2 - 17", by=world().root, path_length=0, not_before=NOW - timedelta(days=1))
    links = [(world().holder.certificate, renewed.certificate), (renewed.certificate, world().root.certificate)]
    stored = held((world().root, make_crl(world().root)), (world().sub, make_crl(world().sub)))

    assert renewed.certificate != world().sub.certificate
    assert check(links, stored, NOW)


def test_cache_of_checked_lists_is_bounded_by_their_bytes() -> None:
    checked = crls._checked(make_crl(world().sub), world().sub.certificate)
    cache = CRLCache[object](100)
    for number in range(5):
        cache.put((b"%d" % number, b""), 40, checked)
    cache.put((b"huge", b""), 101, checked)

    assert [number for number in range(5) if cache.get((b"%d" % number, b""))] == [3, 4]
    assert cache.get((b"huge", b"")) is None

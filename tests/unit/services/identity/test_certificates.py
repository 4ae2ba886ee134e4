"""Which e-Certs let an AR in: every other kind is refused with its own reason."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from services.identity import der, examining, organisations, subjects
from services.identity.certificates import Trust, organisation_names, read, validate
from services.identity.domain import Subscriber
from services.identity.refusals import CertificateFault, CertificateRefused
from shared.pki.certificates import sha256
from shared.vocabulary import SubscriberId
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import CA, NOW, ORGANISATIONAL, Holder, Leaf, issue, make_ca, name, world
from tests.unit.services.identity.der_editing import length, places, replaced


def trust(**changes: object) -> Trust:
    anchors, intermediates = (world().root.certificate,), (world().sub.certificate, world().sibling.certificate)
    basis = Trust(anchors=anchors, intermediates=intermediates, policies=frozenset({ORGANISATIONAL}))
    return replace(basis, **changes)  # type: ignore[arg-type]


def fault(holder: Holder, by: Trust | None = None, at: timedelta = timedelta()) -> CertificateFault:
    with pytest.raises(CertificateRefused) as caught:
        validate(holder.certificate, by or trust(), NOW + at)
    return caught.value.fault


def leaf(**changes: object) -> Holder:
    return issue(world().sub, replace(Leaf(), **changes))  # type: ignore[arg-type]


def test_good_e_cert_has_a_chain_to_the_anchor() -> None:
    (chain,) = validate(world().holder.certificate, trust(), NOW)

    assert chain.issuers == (world().sub.certificate, world().root.certificate)
    assert chain.links == (
        (world().holder.certificate, world().sub.certificate),
        (world().sub.certificate, world().root.certificate),
    )


GOOD = {
    "critical policies": {"policies_critical": True},
    "another policy beside ours": {"policies": (ORGANISATIONAL, ObjectIdentifier("2.16.344.8.2.2008.810.2.1"))},
    "no extended key usage": {"extended": None},
    "P-256": {"key": builders.ec_key("good P-256")},
    "P-384": {"key": builders.ec_key("good P-384", ec.SECP384R1)},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_other_good_e_certs_are_accepted(changes: dict[str, object]) -> None:
    validate(leaf(**changes).certificate, trust(), NOW)


MUTUAL_RECOGNITION = ObjectIdentifier("2.16.344.8.2.2008.810.2.2015.1.1")


def test_e_cert_of_the_mutual_recognition_sub_ca_is_recognised() -> None:
    by = trust(intermediates=(world().sub.certificate,), mutual_recognition=(world().sibling.certificate,))
    recognised = issue(world().sibling, Leaf(policies=(ORGANISATIONAL, MUTUAL_RECOGNITION)))
    assert validate(recognised.certificate, by, NOW)[0].issuers[0] == world().sibling.certificate
    validate(world().holder.certificate, by, NOW)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ((ORGANISATIONAL,), CertificateFault.NOT_MUTUAL_RECOGNITION),
        ((ORGANISATIONAL, ObjectIdentifier("2.16.344.8.2.2008.810.3.2015")), CertificateFault.NOT_MUTUAL_RECOGNITION),
        ((ORGANISATIONAL, ObjectIdentifier("2.16.344.8.2.2008.810.20.1")), CertificateFault.NOT_MUTUAL_RECOGNITION),
        ((MUTUAL_RECOGNITION,), CertificateFault.NOT_ORGANISATIONAL),
        ((builders.PERSONAL, MUTUAL_RECOGNITION), CertificateFault.NOT_ORGANISATIONAL),
    ],
)
def test_other_certificates_of_the_mutual_recognition_sub_ca_are_refused(
    policies: tuple[ObjectIdentifier, ...], expected: CertificateFault
) -> None:
    by = trust(mutual_recognition=(world().sibling.certificate,), intermediates=(world().sub.certificate,))
    assert fault(issue(world().sibling, Leaf(policies=policies)), by) is expected


UNKNOWN_CRITICAL = (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
BAD = {
    "no policy": ({"policies": ()}, CertificateFault.NOT_ORGANISATIONAL),
    "any policy": ({"policies": (ObjectIdentifier("2.5.29.32.0"),)}, CertificateFault.NOT_ORGANISATIONAL),
    "personal policy": ({"policies": (builders.PERSONAL,)}, CertificateFault.NOT_ORGANISATIONAL),
    "personal": (
        {"policies": (builders.PERSONAL,), "subject": name("CHAN TAI MAN", "Hongkong Post e-Cert (Personal)")},
        CertificateFault.PERSONAL,
    ),
    "encipherment": (
        {
            "policies": (builders.ENCIPHERMENT,),
            "subject": name("Accounts", "Hongkong Post", "e-Cert (Encipherment)"),
            "uses": ("key_encipherment",),
        },
        CertificateFault.ENCIPHERMENT,
    ),
    "personal with our policy": (
        {"subject": name("CHAN TAI MAN", "e-Cert (Personal)")},
        CertificateFault.PERSONAL,
    ),
    "a CA": ({"ca": True}, CertificateFault.IS_CA),
    "RSA 1024": ({"key": builders.rsa_key("weak", 1024)}, CertificateFault.WEAK_KEY),
    "P-521": ({"key": builders.ec_key("P-521", ec.SECP521R1)}, CertificateFault.WEAK_KEY),
    "no key usage": ({"uses": None}, CertificateFault.KEY_USAGE),
    "no digital signature": ({"uses": ("content_commitment",)}, CertificateFault.KEY_USAGE),
    "no non-repudiation": ({"uses": ("digital_signature",)}, CertificateFault.KEY_USAGE),
    "may sign certificates": (
        {"uses": ("digital_signature", "content_commitment", "key_cert_sign")},
        CertificateFault.KEY_USAGE,
    ),
    "for servers only": ({"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)}, CertificateFault.EXTENDED_KEY_USAGE),
    "unknown critical extension": ({"extra": (UNKNOWN_CRITICAL,)}, CertificateFault.UNKNOWN_CRITICAL_EXTENSION),
}


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD.keys())
def test_each_bad_e_cert_is_refused_for_its_reason(changes: dict[str, object], expected: CertificateFault) -> None:
    assert fault(leaf(**changes)) is expected


def test_non_repudiation_is_required_only_if_configured() -> None:
    validate(leaf(uses=("digital_signature",)).certificate, trust(require_non_repudiation=False), NOW)


def test_validity_has_no_tolerance() -> None:
    holder = world().holder
    start, end = holder.certificate.not_valid_before_utc, holder.certificate.not_valid_after_utc
    tick = timedelta(microseconds=1)

    validate(holder.certificate, trust(), start)
    validate(holder.certificate, trust(), end)
    assert fault(holder, at=start - tick - NOW) is CertificateFault.NOT_YET_VALID
    assert fault(holder, at=end + tick - NOW) is CertificateFault.EXPIRED


def test_unknown_issuer_is_refused() -> None:
    stranger = make_ca("Stranger")

    assert fault(issue(stranger)) is CertificateFault.UNTRUSTED


def test_issuer_that_only_has_the_name_is_refused() -> None:
    forged = issue(world().sub, signed_by=builders.rsa_key("forger"))

    assert fault(forged) is CertificateFault.UNTRUSTED


def test_unknown_sub_ca_is_refused() -> None:
    """Only pinned intermediates complete a path, none that a client sends."""
    assert fault(world().holder, trust(intermediates=())) is CertificateFault.UNTRUSTED


def test_intermediate_is_no_anchor() -> None:
    assert fault(world().holder, trust(anchors=(make_ca("Other root").certificate,))) is CertificateFault.UNTRUSTED


def test_ca_below_a_sub_ca_of_path_length_zero_is_refused() -> None:
    below = make_ca("Below", by=world().sub)
    longer = trust(intermediates=(world().sub.certificate, below.certificate))

    assert fault(issue(below), longer) is CertificateFault.UNTRUSTED


def test_certificate_issued_by_a_leaf_is_refused() -> None:
    issuer = CA(certificate=world().holder.certificate, key=world().holder.key)
    with_leaf = trust(intermediates=(world().sub.certificate, issuer.certificate))

    assert fault(issue(issuer), with_leaf) is CertificateFault.UNTRUSTED


def test_expired_sub_ca_is_refused() -> None:
    old = make_ca("Old sub", by=world().root, not_after=NOW - timedelta(seconds=1))

    assert fault(issue(old), trust(intermediates=(old.certificate,))) is CertificateFault.UNTRUSTED


def test_validity_of_a_sub_ca_has_no_tolerance_either() -> None:
    ending = make_ca("Ending sub", by=world().root, not_after=NOW)
    by = trust(intermediates=(ending.certificate,))

    validate(issue(ending).certificate, by, NOW)
    assert fault(issue(ending), by, at=timedelta(microseconds=1)) is CertificateFault.UNTRUSTED


@pytest.mark.parametrize("policy", [ORGANISATIONAL, ObjectIdentifier("2.5.29.32.0")], ids=["ours", "any"])
def test_sub_ca_may_be_limited_to_our_policy_or_to_none(policy: ObjectIdentifier) -> None:
    limited = make_ca("Limited sub", by=world().root, policies=(policy,))

    validate(issue(limited).certificate, trust(intermediates=(limited.certificate,)), NOW)


def test_sub_ca_limited_to_another_policy_cannot_issue_under_ours() -> None:
    limited = make_ca("Personal sub", by=world().root, policies=(builders.PERSONAL,))

    assert fault(issue(limited), trust(intermediates=(limited.certificate,))) is CertificateFault.NOT_ORGANISATIONAL


def test_sub_ca_that_states_no_policy_issues_under_none() -> None:
    silent = make_ca("Silent sub", by=world().root, policies=())

    assert fault(issue(silent), trust(intermediates=(silent.certificate,))) is CertificateFault.NOT_ORGANISATIONAL


def renewed_sub(**changes: object) -> CA:
    """Return another certificate for the name and key of the sub-CA."""
    fields: dict[str, object] = {"by": world().root, "path_length": 0, **changes}
    return make_ca("Example e-Cert CA 2 - 17", **fields)  # type: ignore[arg-type]


UNUSABLE = {
    "limited to another policy": {"policies": (builders.PERSONAL,)},
    "expired": {"not_after": NOW - timedelta(days=1)},
    "without the right to sign": {"uses": ("crl_sign",)},
}


@pytest.mark.parametrize("changes", UNUSABLE.values(), ids=UNUSABLE.keys())
@pytest.mark.parametrize("first", [True, False])
def test_every_path_is_tried(changes: dict[str, object], first: bool) -> None:
    pinned = [renewed_sub(**changes).certificate, world().sub.certificate]
    by = trust(intermediates=tuple(pinned if first else reversed(pinned)))

    chains = validate(world().holder.certificate, by, NOW)

    assert [chain.issuers for chain in chains] == [(world().sub.certificate, world().root.certificate)]


def test_every_good_path_is_returned() -> None:
    renewed = renewed_sub(not_before=NOW - timedelta(days=1)).certificate
    by = trust(intermediates=(renewed, world().sub.certificate))

    found = [chain.issuers[0] for chain in validate(world().holder.certificate, by, NOW)]

    assert found == [renewed, world().sub.certificate]


def test_accepted_extended_key_usages_are_configured() -> None:
    without = leaf(extended=(ExtendedKeyUsageOID.EMAIL_PROTECTION,))

    assert fault(without) is CertificateFault.EXTENDED_KEY_USAGE
    validate(without.certificate, trust(purposes=frozenset({ExtendedKeyUsageOID.EMAIL_PROTECTION})), NOW)


def test_sub_ca_without_the_right_to_sign_certificates_is_refused() -> None:
    mute = make_ca("Mute sub", by=world().root, uses=("crl_sign",))

    assert fault(issue(mute), trust(intermediates=(mute.certificate,))) is CertificateFault.UNTRUSTED


def test_junk_is_unreadable() -> None:
    for junk in (b"", b"\x30\x00", world().holder.der + b"\x00", world().holder.der[:-1]):
        with pytest.raises(CertificateRefused) as caught:
            read(junk)
        assert caught.value.fault is CertificateFault.UNREADABLE


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_serial_number_that_is_not_positive_is_unreadable() -> None:
    holder = leaf(serial=0x7F00_0000_0000_0001)
    negative = holder.der.replace(bytes.fromhex("02087f00000000000001"), bytes.fromhex("0208ff00000000000001"))
    assert negative != holder.der

    with pytest.raises(CertificateRefused) as caught:
        read(negative)
    assert caught.value.fault is CertificateFault.UNREADABLE


def test_certificate_is_identified_by_the_sha_256_of_its_der() -> None:
    assert sha256(world().holder.certificate) == hashlib.sha256(world().holder.der).hexdigest()


def with_organisation(value: bytes, brn: str = "12345678") -> bytes:
    """Return an e-Cert whose organisation is exactly this encoded value, signed by the sub-CA."""
    template = leaf(subject=name("CHAN TAI MAN", "PLACEHOLDER", brn))
    tbs = template.certificate.tbs_certificate_bytes
    (place,) = (each for each in places(tbs) if tbs[each[0] : each[1]] == b"\x0c\x0bPLACEHOLDER")
    tbs = replaced(tbs, place, value)
    algorithm = list(der.elements(der.contents_of(template.der)))[1]
    key = world().sub.key
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = b"\x03" + length(b"\x00" + key.sign(tbs, padding.PKCS1v15(), hashes.SHA256()))
    return b"\x30" + length(tbs + algorithm + signature)


def encoded(tag: int, contents: bytes) -> bytes:
    return bytes([tag]) + length(contents)


WRITTEN = {
    "UTF8String": (encoded(0x0C, "陳大文有限公司".encode()), "陳大文有限公司"),
    "ampersand in T61String": (encoded(0x14, b"CHAN & SONS LIMITED"), "CHAN & SONS LIMITED"),
    "Latin-1 in T61String": (encoded(0x14, "Café Limited".encode("latin-1")), "Café Limited"),
    "Latin-1 in T61String that is Big5 by chance": (encoded(0x14, "ÉAST Ltd".encode("latin-1")), "ÉAST Ltd"),
    "Big5 in T61String": (encoded(0x14, "陳大文有限公司".encode("big5")), "陳大文有限公司"),
    "a character of Hong Kong in T61String": (encoded(0x14, "香港𨋢有限公司".encode("big5hkscs")), "香港𨋢有限公司"),
    "UTF-8 in T61String": (encoded(0x14, "陳大文有限公司".encode()), "陳大文有限公司"),
    "Big5 in UTF8String": (encoded(0x0C, "陳大文有限公司".encode("big5")), "陳大文有限公司"),
    "Latin-1 in IA5String": (encoded(0x16, "Café Limited".encode("latin-1")), "Café Limited"),
    "BMPString": (encoded(0x1E, "陳大文有限公司".encode("utf-16-be")), "陳大文有限公司"),
    "UniversalString": (encoded(0x1C, "陳大文".encode("utf-32-be")), "陳大文"),
}


@pytest.mark.parametrize(("value", "organisation"), WRITTEN.values(), ids=WRITTEN.keys())
def test_organisation_is_read_in_every_string_type(value: bytes, organisation: str) -> None:
    certificate = read(with_organisation(value))
    holder = Subscriber(
        id=SubscriberId("s"),
        name=organisation,
        name_zh=None,
        brn="12345678",
        country="HK",
        state_or_province=None,
        locality="Hong Kong",
    )

    assert organisation in organisation_names(certificate)
    assert organisations.names(certificate, holder)
    assert not organisations.names(certificate, replace(holder, name="Other Limited"))
    validate(certificate, trust(), NOW)
    assert examining.describe(certificate)["organisation"]
    assert subjects.describe(certificate)


@pytest.mark.parametrize(
    "value",
    [
        encoded(0x13, b"CHAN & SONS LIMITED"),
        encoded(0x13, "Café Limited".encode("latin-1")),
        encoded(0x1E, b"\x00a\x00"),
    ],
    ids=["ampersand in PrintableString", "Latin-1 in PrintableString", "half a character in BMPString"],
)
def test_organisation_that_the_library_cannot_decode_has_a_reason(value: bytes) -> None:
    with pytest.raises(CertificateRefused) as caught:
        read(with_organisation(value))

    assert caught.value.fault is CertificateFault.NAME_ENCODING
    assert "& in a PrintableString" in str(caught.value)

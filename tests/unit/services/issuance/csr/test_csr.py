"""CSRs: every row of the table of checks, and any bytes at all."""

import ipaddress
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from asn1crypto import csr as asn1_csr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from services.issuance.csr import csr
from services.issuance.csr.csr import CSRFault, CSRRefused, NamesDiffer, WeakSignature
from services.issuance.csr.keys import KeyRefused
from tests.unit.services.issuance.csr.csrs import PrivateKey, as_pem, csr_der, ec_key, info_of, resigned, rsa_key

OPENSSL_REQ = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "r.pem"]


def refusal(text: str) -> str:
    with pytest.raises((CSRRefused, KeyRefused)) as refused:
        csr.read(text)
    return refused.value.reason


def spki_digest(key: object) -> bytes:
    der = key.public_key().public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(der).digest()


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_key_of_an_allowed_size_is_accepted(bits: int) -> None:
    assert csr.read(as_pem(csr_der(rsa_key(bits)))).key_kind == f"rsa-{bits}"


@pytest.mark.parametrize(("curve", "kind"), [(ec.SECP256R1(), "ec-p256"), (ec.SECP384R1(), "ec-p384")])
def test_key_on_an_allowed_curve_is_accepted(curve: ec.EllipticCurve, kind: str) -> None:
    assert csr.read(as_pem(csr_der(ec_key(curve)))).key_kind == kind


@pytest.mark.parametrize("curve", [ec.SECP521R1(), ec.SECP224R1(), ec.SECP256K1()])
def test_key_on_a_curve_that_browsers_refuse_is_refused(curve: ec.EllipticCurve) -> None:
    with pytest.raises(KeyRefused) as refused:
        csr.read(as_pem(csr_der(ec_key(curve))))
    assert refused.value.reason == "key-algorithm-not-allowed"


def test_csr_of_openssl_is_read(tmp_path: Path) -> None:
    subprocess.run(
        [*OPENSSL_REQ, "-subj", "/O=Example Ltd/CN=www.example.hk", "-addext", "subjectAltName=DNS:www.example.hk"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    request = csr.read((tmp_path / "r.pem").read_text())
    assert (request.common_names, request.dns_names) == (("www.example.hk",), ("www.example.hk",))
    assert request.subject == "CN=www.example.hk,O=Example Ltd"


@pytest.mark.parametrize(
    ("options", "algorithm"),
    [
        ((), "rsa-pkcs1v15-sha256"),
        (("-sha384",), "rsa-pkcs1v15-sha384"),
        (("-sigopt", "rsa_padding_mode:pss"), "rsa-pss-sha256"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "ecdsa-sha256"),
    ],
)
def test_signature_algorithm_of_a_csr_is_reported(tmp_path: Path, options: tuple[str, ...], algorithm: str) -> None:
    subprocess.run([*OPENSSL_REQ, "-subj", "/", *options], cwd=tmp_path, check=True, capture_output=True)
    assert csr.read((tmp_path / "r.pem").read_text()).signature_algorithm == algorithm


def test_old_label_and_windows_line_ends_are_read() -> None:
    assert csr.read(as_pem(csr_der(), "NEW CERTIFICATE REQUEST").replace("\n", "\r\n") + "\r\n \r\n")


def printable(text: bytes) -> bytes:
    """Return a text as PrintableString, whatever that may hold."""
    return b"\x13" + bytes([len(text)]) + text


def request_with(subject: bytes, attributes: bytes, key: PrivateKey) -> bytes:
    """Return a CSR with exactly this subject (RDNSequence) and these attributes (whole, or nothing)."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    info = sequence(b"\x02\x01\x00" + subject + spki + attributes)
    signature = key.sign(info, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg, arg-type]
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return sequence(info + algorithm + b"\x03" + bytes([len(signature) + 1]) + b"\x00" + signature)


def sequence(content: bytes, tag: int = 0x30) -> bytes:
    return bytes([tag, 0x82]) + len(content).to_bytes(2) + content


def named(*pairs: tuple[str, bytes]) -> bytes:
    rdns = (sequence(sequence(bytes.fromhex(oid) + value), 0x31) for oid, value in pairs)
    return sequence(b"".join(rdns))


CN, ORGANISATION = "0603550403", "060355040a"
EXTENSIONS = csr_der(names=["*.example.com.hk"])
REQUESTED = bytes(info_of(EXTENSIONS)["attributes"][0].dump())
CHALLENGE = sequence(bytes.fromhex("06092a864886f70d010907") + sequence(printable(b"pass"), 0x31))


@pytest.mark.parametrize(
    ("subject", "attributes", "names"),
    [
        (named((CN, printable(b"*.example.com.hk"))), b"\xa0\x00", ()),
        (named((CN, printable(b"*.example.com.hk")), (ORGANISATION, printable(b"Chan & Sons"))), b"\xa0\x00", ()),
        (named((CN, printable(b"*.example.com.hk")), (ORGANISATION, b"\x14\x04\xa4\xa4\xb0\xea")), b"", ()),
        (named((CN, b"\x16\x10*.example.com.hk"), ("06032a0304", b"\x01\x01\xff")), b"", ()),
        (named((CN, b"\x1e\x20" + "*.example.com.hk".encode("utf-16-be"))), b"", ()),
        (named((CN, printable(b"*.example.com.hk")), ("0603550406", printable(b"HKG"))), b"", ()),
        (named((CN, printable(b"*.example.com.hk"))), sequence(REQUESTED + CHALLENGE, 0xA0), ("*.example.com.hk",)),
        (named((CN, printable(b"*.example.com.hk"))), sequence(CHALLENGE + REQUESTED, 0xA0), ("*.example.com.hk",)),
    ],
    ids=["wildcard", "ampersand", "Big5", "odd types", "BMP", "country of three", "attributes", "unsorted"],
)
def test_parts_that_are_never_used_need_not_be_in_order(subject: bytes, attributes: bytes, names: tuple[str]) -> None:
    request = csr.read_der(request_with(subject, attributes, ec_key()))
    assert (request.common_names, request.dns_names) == (("*.example.com.hk",), names)
    csr.check_names(request, ["*.example.com.hk"])


@pytest.mark.parametrize(
    ("subject", "attributes", "part"),
    [
        (b"\x30\x02\x31\x05", b"", "subject"),
        (named((CN, b"")), b"", "subject"),
        (named(), b"\xa0\x02\x30\x05", "attributes"),
        (named(), sequence(REQUESTED + REQUESTED, 0xA0), "attributes"),
        (named(), b"\xa1\x00", "attributes"),
    ],
)
def test_part_that_cannot_be_read_is_named(subject: bytes, attributes: bytes, part: str) -> None:
    with pytest.raises(CSRRefused, match=part) as refused:
        csr.read_der(request_with(subject, attributes, ec_key()))
    assert refused.value.reason == CSRFault.MALFORMED.value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", CSRFault.NOT_A_CSR),
        ("not a CSR", CSRFault.NOT_A_CSR),
        (as_pem(b"\x30\x00"), CSRFault.NOT_A_CSR),
        (as_pem(b""), CSRFault.NOT_A_CSR),
        ("-----BEGIN CERTIFICATE REQUEST-----\n%%%\n-----END CERTIFICATE REQUEST-----", CSRFault.NOT_A_CSR),
        (as_pem(csr_der(), "CERTIFICATE"), CSRFault.NOT_A_CSR),
        (as_pem(csr_der()) + as_pem(csr_der()), CSRFault.SEVERAL_BLOCKS),
        (as_pem(csr_der()) + as_pem(csr_der(), "CERTIFICATE"), CSRFault.SEVERAL_BLOCKS),
        (as_pem(csr_der()).replace("MI", "", 1), CSRFault.NOT_A_CSR),
        (as_pem(csr_der() + b"\x00"), CSRFault.TRAILING_BYTES),
        (as_pem(b"\x30" * (33 * 1024)), CSRFault.TOO_LARGE),
        (as_pem(csr_der()) + " " * 33 * 1024, CSRFault.TOO_LARGE),
        ("\ud800", CSRFault.NOT_A_CSR),
    ],
)
def test_text_that_is_not_exactly_one_csr_is_refused(text: str, fault: CSRFault) -> None:
    assert refusal(text) == fault.value


def test_another_version_is_refused() -> None:
    key = ec_key()
    info = info_of(csr_der(key))
    info["version"] = 1
    assert refusal(as_pem(resigned(info, key))) == CSRFault.VERSION.value


def test_csr_signed_by_another_key_is_refused() -> None:
    assert refusal(as_pem(resigned(info_of(csr_der()), ec_key()))) == CSRFault.SIGNATURE.value


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_csr_signed_with_a_broken_digest_is_refused(digest: str, tmp_path: Path) -> None:
    subprocess.run(
        [*OPENSSL_REQ, f"-{digest}", "-subj", "/CN=www.example.hk"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with pytest.raises(WeakSignature, match=digest) as refused:
        csr.read((tmp_path / "r.pem").read_text())
    assert refused.value.reason == "csr-signature-too-weak"


def test_unknown_signature_algorithm_has_its_reason() -> None:
    der = csr_der(rsa_key()).replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d01017f"))
    assert refusal(as_pem(der)) == CSRFault.ALGORITHM.value


@pytest.mark.parametrize("value", [b"\x30\x05\x82\xff", b"", b"\x30\x04\x82\x02\xff\xff", b"\x04\x00"])
def test_malformed_extension_is_refused_and_no_internal_error(value: bytes) -> None:
    broken = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(broken, critical=False)
    pem = builder.sign(ec_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    assert refusal(pem) == CSRFault.MALFORMED.value


def test_attribute_that_occurs_twice_is_refused() -> None:
    key = ec_key()
    info = info_of(csr_der(key, names=["www.example.hk"]))
    info["attributes"].append(info["attributes"][0].copy())
    assert refusal(as_pem(resigned(info, key))) == CSRFault.MALFORMED.value


@pytest.mark.parametrize(
    "other",
    [
        x509.IPAddress(ipaddress.ip_address("203.0.113.7")),
        x509.RFC822Name("ar@example.hk"),
        x509.UniformResourceIdentifier("https://www.example.hk"),
    ],
)
def test_names_of_other_kinds_are_refused(other: x509.GeneralName) -> None:
    text = as_pem(csr_der(names=["www.example.hk"], general_names=[other]))
    assert refusal(text) == CSRFault.NAME_TYPES.value


def names_refusal(paid: list[str], *, common_name: str | None = None, names: list[str]) -> NamesDiffer:
    request = csr.read(as_pem(csr_der(common_name=common_name, names=names)))
    with pytest.raises(NamesDiffer) as refused:
        csr.check_names(request, paid)
    return refused.value


@pytest.mark.parametrize(
    ("paid", "common_name", "names"),
    [
        (["www.example.hk"], None, []),
        (["www.example.hk"], " ", []),
        (["www.example.hk"], "WWW.example.hk", ["www.Example.hk"]),
        (["*.example.hk"], "*.example.hk", ["*.example.hk"]),
        (["*.example.hk"], "example.hk", ["*.example.hk", "example.hk"]),
        (["a.example.hk", "b.example.hk"], "a.example.hk", []),
        (["a.example.hk", "b.example.hk"], None, ["b.example.hk", "a.example.hk"]),
        (["xn--czrs0t.example.hk"], "商店.example.hk", []),
    ],
)
def test_csr_for_the_paid_names_or_none_is_accepted(paid: list[str], common_name: str | None, names: list[str]) -> None:
    csr.check_names(csr.read(as_pem(csr_der(common_name=common_name, names=names))), paid)


def test_csr_for_other_names_is_refused_with_the_difference() -> None:
    refused = names_refusal(["a.example.hk", "b.example.hk"], names=["a.example.hk", "evil.example.hk"])
    assert (refused.surplus, refused.missing) == (("evil.example.hk",), ("b.example.hk",))


def test_common_name_that_was_not_paid_for_is_refused() -> None:
    assert names_refusal(["www.example.hk"], common_name="Example Ltd", names=[]).surplus == ("example ltd",)


def test_base_name_alone_is_not_the_wildcard() -> None:
    assert names_refusal(["*.example.hk"], names=["example.hk"]).missing == ("*.example.hk",)


def test_ed25519_key_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    der = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    text = der.public_bytes(serialization.Encoding.PEM).decode()
    assert refusal(text) == "key-algorithm-not-allowed"


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_and_raise_nothing_else(data: bytes) -> None:
    with pytest.raises((CSRRefused, KeyRefused)):
        csr.read_der(data)


GOOD = csr_der(rsa_key(), common_name="www.example.hk", names=["www.example.hk"])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_csr_with_any_byte_changed_is_refused(position: int, change: int) -> None:
    bent = bytearray(GOOD)
    bent[position] ^= change
    with pytest.raises((CSRRefused, KeyRefused)):
        csr.read_der(bytes(bent))


def test_public_key_is_preserved_byte_for_byte() -> None:
    request = csr.read_der(GOOD)
    info = asn1_csr.CertificationRequest.load(GOOD)["certification_request_info"]
    assert request.spki == info["subject_pk_info"].dump()
    assert request.spki_sha256 == spki_digest(rsa_key())

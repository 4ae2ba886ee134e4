"""Private keys that were sent: what is true is named, and nobody can have another's key blocked."""

import time
from hashlib import sha256
from typing import Any

import pytest
from asn1crypto import keys as asn1_keys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.issuance.csr.private_keys import public_digests
from shared.pki import armour
from tests.unit.services.issuance.csr.csrs import PrivateKey, ec_key, private_pem, rsa_key
from tests.unit.services.issuance.csr.mersenne import private_key_pem

FORMATS = serialization.PrivateFormat
DER, NONE = serialization.Encoding.DER, serialization.NoEncryption()


def digest(key: PrivateKey) -> bytes:
    spki = key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(spki).digest()


def digests(text: str) -> frozenset[bytes] | None:
    [block] = armour.blocks(text)
    return public_digests(block)


def pkcs1(key: rsa.RSAPrivateKey, **changes: int) -> str:
    private = key.private_numbers()
    values: dict[str, Any] = {
        "version": "two-prime",
        "modulus": private.public_numbers.n,
        "public_exponent": private.public_numbers.e,
        "private_exponent": private.d,
        "prime1": private.p,
        "prime2": private.q,
        "exponent1": private.dmp1,
        "exponent2": private.dmq1,
        "coefficient": private.iqmp,
    }
    return armour.armoured(asn1_keys.RSAPrivateKey(values | changes).dump(), "RSA PRIVATE KEY")


@pytest.mark.parametrize("make", [rsa_key, ec_key])
@pytest.mark.parametrize("form", [FORMATS.PKCS8, FORMATS.TraditionalOpenSSL, FORMATS.OpenSSH])
def test_valid_key_is_named_in_every_format(make: Any, form: serialization.PrivateFormat) -> None:
    key = make()
    text = key.private_bytes(serialization.Encoding.PEM, form, NONE).decode()
    assert digests(text) == frozenset({digest(key)})


def test_forged_key_with_anothers_public_half_names_nothing() -> None:
    mine, theirs = rsa_key(), rsa_key(serial=1)
    n = theirs.public_key().public_numbers().n
    forged = {
        "another modulus": pkcs1(mine, modulus=n),
        "and no primes": pkcs1(mine, modulus=n, prime1=1, prime2=n),
        "and a negative one": pkcs1(mine, modulus=n, prime1=-1, prime2=-n),
        "and an exponent of one": pkcs1(mine, modulus=n, public_exponent=1, private_exponent=1),
        "and its own modulus as exponent": pkcs1(mine, modulus=n, private_exponent=n + 1),
    }
    for what, text in forged.items():
        assert not digests(text), what


def test_forged_ec_key_names_no_other_key() -> None:
    mine, theirs = ec_key(), ec_key()
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    key = asn1_keys.ECPrivateKey.load(mine.private_bytes(DER, traditional, NONE))
    key["public_key"] = asn1_keys.ECPrivateKey.load(theirs.private_bytes(DER, traditional, NONE))["public_key"]
    assert digest(theirs) not in (digests(armour.armoured(key.dump(), "EC PRIVATE KEY")) or ())


def test_key_with_correct_factors_is_named_despite_other_faults() -> None:
    key = rsa_key()
    for text in (pkcs1(key, private_exponent=5), pkcs1(key, public_exponent=3), pkcs1(key, exponent1=0)):
        assert digest(key) in (digests(text) or ())


def test_key_with_a_correct_exponent_is_named_without_its_factors() -> None:
    assert digests(pkcs1(rsa_key(), prime1=3, prime2=5)) == frozenset({digest(rsa_key())})


def test_key_of_an_uncertifiable_kind_blocks_no_other() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate(), ec_key(ec.SECP256K1())):
        found = digests(private_pem(key))  # type: ignore[arg-type]
        assert found is not None
        assert len(found) <= 1


@pytest.mark.parametrize("exponents", [(521, 607), (2203, 2281), (4253, 4423), (9689, 9941)])
def test_costly_key_is_read_quickly(exponents: tuple[int, int]) -> None:
    begun = time.process_time()
    assert not digests(private_key_pem(*exponents)) or max(exponents) < 4096
    assert time.process_time() - begun < 0.5


def test_many_keys_in_one_text_are_read_quickly() -> None:
    key = rsa_key(4096)
    text = pkcs1(key, prime1=1, prime2=1, exponent1=1, exponent2=1, coefficient=1) * 20
    begun = time.process_time()
    for block in armour.blocks(text):
        assert public_digests(block) == frozenset({digest(key)})
    assert time.process_time() - begun < 1.5


def test_unreadable_private_key_has_no_digests() -> None:
    for text in (private_pem(ec_key(), b"secret"), "-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN PRIVATE KEY-----"):
        assert digests(text) is None

"""Keys that may not stand in a certificate, each with its own reason."""

from hashlib import sha256

import gmpy2
import pytest
from asn1crypto import keys as asn1_keys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from services.issuance.csr.keys import KeyFault, KeyRefused, checked_key
from tests.unit.services.issuance.csr.csrs import ec_key, rsa_key


def spki(key: object) -> bytes:
    public = key.public_key()  # type: ignore[attr-defined]
    der: bytes = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der


def rsa_spki(n: int, e: int = 65537) -> bytes:
    key = asn1_keys.RSAPublicKey({"modulus": n, "public_exponent": e})
    algorithm = {"algorithm": "rsa"}
    return bytes(asn1_keys.PublicKeyInfo({"algorithm": algorithm, "public_key": key}).dump())


def refusal(der: bytes) -> KeyRefused:
    with pytest.raises(KeyRefused) as refused:
        checked_key(der)
    return refused.value


def next_prime(value: int) -> int:
    return int(gmpy2.next_prime(value))


@pytest.mark.parametrize("bits", [1024, 2047, 2056, 8192])
def test_another_rsa_size_is_refused(bits: int) -> None:
    n = (1 << (bits - 1)) | 1
    assert refusal(rsa_spki(n)).reason == KeyFault.RSA_SIZE.value


@pytest.mark.parametrize("exponent", [1, 3, 17, 65535, 65538, 2**256 + 1])
def test_rsa_exponent_out_of_the_range_is_refused(exponent: int) -> None:
    n = rsa_key().public_key().public_numbers().n
    assert refusal(rsa_spki(n, exponent)).reason in {KeyFault.RSA_EXPONENT.value, KeyFault.ENCODING.value}


def test_close_primes_are_found() -> None:
    p = next_prime(int.from_bytes(sha256(b"p").digest() * 4) | 3 << 1022)
    refused = refusal(rsa_spki(p * next_prime(p)))
    assert (refused.reason, str(refused)) == (KeyFault.WEAK.value, "fermat")


def test_small_prime_factor_is_found() -> None:
    p = next_prime((1 << 2038) + (1 << 2036))
    n = p * 751
    assert n.bit_length() == 2048, n.bit_length()
    assert "smallfactors" in str(refusal(rsa_spki(n)))


def test_modulus_that_is_itself_prime_is_found() -> None:
    n = next_prime(1 << 2047)
    assert n.bit_length() == 2048
    assert (refusal(rsa_spki(n)).reason, str(refusal(rsa_spki(n)))) == (KeyFault.WEAK.value, "prime")


@pytest.mark.parametrize("power", [2, 3, 4])
def test_modulus_that_is_a_perfect_power_is_found(power: int) -> None:
    n = next_prime(int(gmpy2.iroot(3 << 2046, power)[0])) ** power
    assert n.bit_length() == 2048
    assert refusal(rsa_spki(n)).reason == KeyFault.WEAK.value


def test_roca_key_is_found() -> None:
    modulus = 0x924CBA6AE99DFA084537FACC54948DF0C23DA044D8CABE0EDD75BC6
    generator = int(gmpy2.powmod(65537, 1234567, modulus))
    n = next(
        n
        for n in (generator + modulus * k for k in range((1 << 2047) // modulus + 1, (1 << 2047) // modulus + 10**6))
        if gmpy2.gcd(n, int(gmpy2.primorial(65537))) == 1
    )
    assert n.bit_length() == 2048
    assert "roca" in str(refusal(rsa_spki(n)))


def test_another_curve_is_refused() -> None:
    assert refusal(spki(ec_key(ec.SECP256K1()))).reason == KeyFault.ALGORITHM.value
    assert refusal(spki(ec_key(ec.BrainpoolP256R1()))).reason == KeyFault.ALGORITHM.value


def test_dsa_key_is_refused() -> None:
    assert refusal(spki(dsa.generate_private_key(2048))).reason == KeyFault.ALGORITHM.value


def test_rsa_pss_key_is_refused() -> None:
    info = asn1_keys.PublicKeyInfo.load(spki(rsa_key()))
    pss = asn1_keys.PublicKeyInfo({"algorithm": {"algorithm": "rsassa_pss"}, "public_key": info["public_key"].parsed})
    assert refusal(pss.dump()).reason == KeyFault.ALGORITHM.value


def test_rsa_without_its_null_parameter_is_refused() -> None:
    der = spki(rsa_key()).replace(
        bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d010101")
    )
    assert refusal(der).reason == KeyFault.ALGORITHM.value


def test_compressed_or_false_point_is_refused() -> None:
    key = ec_key()
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    info = asn1_keys.PublicKeyInfo.load(spki(key))
    whole = info["public_key"].native
    for bad in (point, whole[:-1] + bytes([whole[-1] ^ 1]), b"\x00"):
        bent = asn1_keys.PublicKeyInfo({"algorithm": info["algorithm"], "public_key": asn1_keys.ECPointBitString(bad)})
        assert refusal(bent.dump()).reason == KeyFault.ENCODING.value


def test_good_key_of_each_kind_passes() -> None:
    assert checked_key(spki(rsa_key())) == "rsa-2048"
    assert checked_key(spki(ec_key())) == "ec-p256"
    assert isinstance(rsa_key(), rsa.RSAPrivateKey)

"""Signature algorithms accepted in a CMS, and the verification of a signature value.

Algorithm identifiers are compared as bytes with the few encodings that the profile permits; only RSASSA-PSS has
parameters to parse.
"""

from collections.abc import Mapping
from typing import Final

from asn1crypto.algos import RSASSAPSSParams, SignedDigestAlgorithm
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from services.identity import der
from services.identity.refusals import SignatureFault, SignatureRefused
from shared.pki.certificates import MAX_RSA_BITS, is_strong

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_SHA2: Final = {"sha256": "01", "sha384": "02", "sha512": "03"}
# Without parameters or with NULL: readers must accept both (RFC 4055 2.1, RFC 8017 B.1), also for RSASSA-PSS.
HASH_NAMES: Final[Mapping[bytes, str]] = {
    bytes.fromhex(prefix + oid + suffix): name
    for name, oid in _SHA2.items()
    for prefix, suffix in (("300b06096086480165030402", ""), ("300d06096086480165030402", "0500"))
}
_RSA_ENCRYPTION: Final = bytes.fromhex("300d06092a864886f70d0101010500")
_RSA: Final[Mapping[bytes, str]] = {
    bytes.fromhex("300d06092a864886f70d01010b0500"): "sha256",
    bytes.fromhex("300d06092a864886f70d01010c0500"): "sha384",
    bytes.fromhex("300d06092a864886f70d01010d0500"): "sha512",
}
_ECDSA: Final[Mapping[bytes, str]] = {
    bytes.fromhex("300a06082a8648ce3d040302"): "sha256",
    bytes.fromhex("300a06082a8648ce3d040303"): "sha384",
    bytes.fromhex("300a06082a8648ce3d040304"): "sha512",
}
_PSS_OID: Final = "1.2.840.113549.1.1.10"


def check(certificate: x509.Certificate, algorithm: bytes, *, hash_name: str, signature: bytes, message: bytes) -> None:
    """Verify a signature value with the certificate's key. Raises SignatureRefused."""
    if not is_strong(certificate):
        raise SignatureRefused(SignatureFault.WEAK_KEY)
    key = certificate.public_key()
    digest = _HASHES[hash_name]
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, message, _padding(algorithm, hash_name), digest)
            case ec.EllipticCurvePublicKey() if _ECDSA.get(algorithm) == hash_name:
                der.require(signature)
                key.verify(signature, message, ec.ECDSA(digest))
            case _:
                raise SignatureRefused(SignatureFault.ALGORITHM)
    except (InvalidSignature, der.NotDER, ValueError) as error:
        raise SignatureRefused(SignatureFault.INVALID) from error


def _padding(algorithm: bytes, hash_name: str) -> padding.PKCS1v15 | padding.PSS:
    if algorithm == _RSA_ENCRYPTION or _RSA.get(algorithm) == hash_name:
        return padding.PKCS1v15()
    try:
        return _pss(algorithm, hash_name)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignatureRefused(SignatureFault.ALGORITHM) from error


def _pss(algorithm: bytes, hash_name: str) -> padding.PSS:
    """Return the padding of RSASSA-PSS; all parameters must be present and consistent (RFC 4055, RFC 8933)."""
    identifier = SignedDigestAlgorithm.load(algorithm, strict=True)
    if identifier["algorithm"].dotted != _PSS_OID:
        raise SignatureRefused(SignatureFault.ALGORITHM)
    parameters = RSASSAPSSParams.load(identifier["parameters"].dump(), strict=True)
    mask = parameters["mask_gen_algorithm"]
    salt_length = parameters["salt_length"].native
    if (
        HASH_NAMES.get(der.contents_of(parameters["hash_algorithm"].dump())) != hash_name
        or mask["algorithm"].native != "mgf1"
        or HASH_NAMES.get(mask["parameters"].dump()) != hash_name
        or parameters["trailer_field"].native != "trailer_field_bc"
        or not _HASHES[hash_name].digest_size <= salt_length <= MAX_RSA_BITS // 8
    ):
        raise SignatureRefused(SignatureFault.ALGORITHM)
    return padding.PSS(mgf=padding.MGF1(_HASHES[hash_name]), salt_length=salt_length)

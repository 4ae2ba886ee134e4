"""Signature algorithms of requests: supported ones, and known ones that prove nothing any more."""

from dataclasses import dataclass
from typing import Final

from asn1crypto import algos
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from services.issuance.csr import pkcs10

_RSA, _PSS, _ECDSA, _OTHER = "rsa-pkcs1v15", "rsa-pss", "ecdsa", ""
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_PSS_OID: Final = "1.2.840.113549.1.1.10"
_ALGORITHMS: Final = {
    "1.2.840.113549.1.1.14": (_RSA, "sha224"),
    "1.2.840.113549.1.1.11": (_RSA, "sha256"),
    "1.2.840.113549.1.1.12": (_RSA, "sha384"),
    "1.2.840.113549.1.1.13": (_RSA, "sha512"),
    "1.2.840.10045.4.3.1": (_ECDSA, "sha224"),
    "1.2.840.10045.4.3.2": (_ECDSA, "sha256"),
    "1.2.840.10045.4.3.3": (_ECDSA, "sha384"),
    "1.2.840.10045.4.3.4": (_ECDSA, "sha512"),
    "1.2.840.113549.1.1.2": (_RSA, "md2"),
    "1.2.840.113549.1.1.4": (_RSA, "md5"),
    "1.2.840.113549.1.1.5": (_RSA, "sha1"),
    "1.3.14.3.2.3": (_RSA, "md5"),
    "1.3.14.3.2.29": (_RSA, "sha1"),
    "1.2.840.10045.4.1": (_ECDSA, "sha1"),
    "1.3.14.3.2.27": (_OTHER, "sha1"),
    "1.2.840.10040.4.3": (_OTHER, "sha1"),
}
_NULL: Final = b"\x05\x00"


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A signature algorithm; `salt` is RSA-PSS's."""

    scheme: str
    digest: str
    salt: int = 0

    @property
    def name(self) -> str:
        """The displayed name, such as "rsa-pkcs1v15-sha256"."""
        return f"{self.scheme}-{self.digest}"

    @property
    def is_weak(self) -> bool:
        """Whether its digest is known to be broken."""
        return self.digest not in _HASHES

    def verify(self, spki: bytes, signature: bytes, signed: bytes) -> bool:
        """Return whether the key (SubjectPublicKeyInfo, DER), which was checked before, has signed these bytes."""
        digest = _HASHES[self.digest]
        try:
            match serialization.load_der_public_key(spki), self.scheme:
                case rsa.RSAPublicKey() as key, "rsa-pkcs1v15":
                    key.verify(signature, signed, padding.PKCS1v15(), digest)
                case rsa.RSAPublicKey() as key, "rsa-pss":
                    key.verify(signature, signed, padding.PSS(padding.MGF1(digest), self.salt), digest)
                case ec.EllipticCurvePublicKey() as key, "ecdsa":
                    key.verify(signature, signed, ec.ECDSA(digest))
                case _:
                    return False
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return True


def algorithm(identifier: bytes) -> Algorithm | None:
    """Return the algorithm of an AlgorithmIdentifier (DER); None for an unknown one."""
    try:
        [whole] = pkcs10.elements(identifier)
        kind, *parameters = pkcs10.elements(whole.content)
        oid = pkcs10.oid(kind)
        if oid == _PSS_OID:
            return _pss(identifier)
    except (ValueError, TypeError, KeyError):
        return None
    if oid not in _ALGORITHMS or any(each.raw != _NULL for each in parameters):
        return None
    scheme, digest = _ALGORITHMS[oid]
    return Algorithm(scheme=scheme, digest=digest)


def _pss(identifier: bytes) -> Algorithm | None:
    parameters = algos.SignedDigestAlgorithm.load(identifier, strict=True)["parameters"]
    digest, mask = parameters["hash_algorithm"]["algorithm"].native, parameters["mask_gen_algorithm"]
    if mask["algorithm"].native != "mgf1" or mask["parameters"]["algorithm"].native != digest:
        return None
    salt = parameters["salt_length"].native
    return Algorithm(scheme=_PSS, digest=digest, salt=salt) if 0 <= salt <= 512 else None

"""Port to the CA's key: stored bytes that are signed again get the same signature."""

from pathlib import Path
from typing import Final, Protocol

from asn1crypto import algos
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from shared.errors import Unavailable

# The BR tie the hash to the curve (7.1.3.2.2); RSA is PKCS#1 v1.5, because a repeated PSS signature would differ.
_EC_ALGORITHMS: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("sha256_ecdsa", hashes.SHA256()),
    "secp384r1": ("sha384_ecdsa", hashes.SHA384()),
    "secp521r1": ("sha512_ecdsa", hashes.SHA512()),
}
_MIN_RSA_BITS = 2048
RSA_ALGORITHM: Final = bytes(algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa"}).dump())


class SignerUnavailable(Unavailable):
    """The key is unavailable; the intent stays and is retried."""

    reason = "signer-unavailable"


class Signer(Protocol):
    """Port to a key that signs stored bytes. The same bytes always get the same signature."""

    @property
    def algorithm(self) -> bytes:
        """The signature's AlgorithmIdentifier, DER."""

    @property
    def spki(self) -> bytes:
        """The public key, as SubjectPublicKeyInfo in DER."""

    def sign(self, to_be_signed: bytes) -> bytes:
        """Return the signature. Raises SignerUnavailable."""


class SoftwareSigner:
    """Signer with a key in this process's memory: for development and tests, refused in production."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._hash: hashes.HashAlgorithm = hashes.SHA256()
        self._algorithm = RSA_ALGORITHM
        if isinstance(key, ec.EllipticCurvePrivateKey):
            name, self._hash = _EC_ALGORITHMS[key.curve.name]
            self._algorithm = bytes(algos.SignedDigestAlgorithm({"algorithm": name}).dump())
        elif key.key_size < _MIN_RSA_BITS:
            raise ValueError(f"CA key of {key.key_size} bits")

    @classmethod
    def load(cls, path: Path) -> "SoftwareSigner":
        """Read an unencrypted PEM key. Raises ValueError for a key that cannot sign certificates."""
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path}: neither RSA nor EC")
        return cls(key)

    @property
    def algorithm(self) -> bytes:
        """The signature's AlgorithmIdentifier: see Signer."""
        return self._algorithm

    @property
    def spki(self) -> bytes:
        """The public key: see Signer."""
        public = self._key.public_key()
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, to_be_signed: bytes) -> bytes:
        """Sign as Signer does."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(to_be_signed, padding.PKCS1v15(), self._hash)
        return self._key.sign(to_be_signed, ec.ECDSA(self._hash, deterministic_signing=True))


def throwaway_like(signer: Signer) -> SoftwareSigner:
    """Return a signer of the same algorithm with a throwaway key: lint signs with it before the CA's key is used."""
    public = serialization.load_der_public_key(signer.spki)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return SoftwareSigner(ec.generate_private_key(public.curve))
    return SoftwareSigner(rsa.generate_private_key(public_exponent=65537, key_size=_MIN_RSA_BITS))

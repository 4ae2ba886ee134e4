"""The CA's key in a token, as PKCS#11 calls a hardware security module: it signs there and never leaves it."""

from hashlib import sha256
from typing import Final

import pkcs11
import structlog
from asn1crypto import algos
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from pkcs11.types import SignMixin

from services.issuance.settings import CAToken
from services.issuance.signer import RSA_ALGORITHM, SignerUnavailable

log = structlog.get_logger()

_PIN_REFUSED: Final = (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.PinInvalid, pkcs11.PinLenRange)


class TokenSigner:
    """Signs in the token. Nothing is asked of it before the first signature, so a token that is away stops no start.

    For one thread: python-pkcs11 bears no more. RSA alone: a token takes a new random number for each ECDSA signature,
    so it would not repeat itself.
    """

    def __init__(self, place: CAToken, public_key: PublicKeyTypes) -> None:
        """`public_key` is the CA certificate's. Raises ValueError if it is not RSA, OSError if a file is not there."""
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise ValueError("a CA key in a token must be RSA: an ECDSA signature made there again is another one")
        place.module_file.stat()
        self._place = place
        self._pin = place.pin_file.read_text().rstrip("\r\n")
        self._public = public_key
        self._key: SignMixin | None = None
        self._pin_is_wrong = False

    @property
    def algorithm(self) -> bytes:
        """See Signer."""
        return RSA_ALGORITHM

    @property
    def spki(self) -> bytes:
        """See Signer."""
        return self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, to_be_signed: bytes) -> bytes:
        """See Signer. RSASSA-PKCS1-v1_5 (RFC 8017, 8.2) with the digest made here: no token bounds a CRL's length."""
        digest = algos.DigestInfo(
            {"digest_algorithm": {"algorithm": "sha256"}, "digest": sha256(to_be_signed).digest()}
        )
        if self._pin_is_wrong:
            raise SignerUnavailable("the token refused the PIN: a token locks itself, so it is not shown again")
        try:
            self._key = self._key or self._open()
            return bytes(self._key.sign(digest.dump(), mechanism=pkcs11.Mechanism.RSA_PKCS))
        except _PIN_REFUSED as error:
            self._pin_is_wrong = True
            raise SignerUnavailable(f"the token refuses the PIN: {type(error).__name__}") from error
        except pkcs11.PKCS11Error as error:
            self._key = None
            raise SignerUnavailable(f"the token does not sign: {type(error).__name__} {error}") from error

    def _open(self) -> SignMixin:
        module = pkcs11.lib(str(self._place.module_file))
        module.reinitialize()  # what was open before the token went away means nothing to it any more
        token = module.get_token(token_label=self._place.label)
        key = token.open(user_pin=self._pin).get_key(
            object_class=pkcs11.ObjectClass.PRIVATE_KEY, key_type=pkcs11.KeyType.RSA, label=self._place.object_label
        )
        if int.from_bytes(key[pkcs11.Attribute.MODULUS]) != self._public.public_numbers().n:
            raise SignerUnavailable("the token's key is not the one of the CA's certificate")
        if not isinstance(key, SignMixin):
            raise SignerUnavailable("the token's key is not there for signing (CKA_SIGN)")
        log.info("token.opened", token=token.label, serial=token.serial.decode().strip(), key=self._place.object_label)
        return key

"""Signer with the CA's key in a PKCS#11 token (hardware security module): the key never leaves the token."""

import ctypes
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import pkcs11
import structlog
from asn1crypto import algos
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from pkcs11.types import SignMixin

from services.issuance.ca.signer import RSA_ALGORITHM, SignerUnavailable
from services.issuance.settings import CAToken

if TYPE_CHECKING:
    from pkcs11 import _pkcs11

log = structlog.get_logger()

# Required timeout of the vendor's client: a call without an answer by then fails. See docs/operations.md.
CALL_TIMEOUT_SECONDS: Final = 10
# The first signature also finds the token, logs in and finds the key.
MAX_SIGNING_TIME: Final = timedelta(seconds=4 * CALL_TIMEOUT_SECONDS)
_PIN_REFUSED: Final = (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.PinInvalid, pkcs11.PinLenRange)
_NEARLY_LOCKED: Final = pkcs11.TokenFlag.USER_PIN_FINAL_TRY | pkcs11.TokenFlag.USER_PIN_LOCKED


class TokenSigner:
    """Signer that uses the token. Connects at the first signature, so an unavailable token does not prevent a start.

    One for each process, used by one thread: python-pkcs11 supports no more. RSA only: a token uses a new random number
    for each ECDSA signature, so a repeated signature would differ.
    """

    def __init__(self, place: CAToken, public_key: PublicKeyTypes) -> None:
        """Check the configuration. `public_key` is the CA certificate's.

        Raises OSError; ValueError for a key other than RSA or an empty PIN.
        """
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise ValueError("a CA key in a token must be RSA: an ECDSA signature cannot be repeated")
        ctypes.CDLL(str(place.module_file))  # the module can be loaded, with all its dependencies
        self._place = place
        self._pin = place.pin_file.read_text().rstrip("\r\n")
        if not self._pin:
            raise ValueError(f"{place.pin_file}: no PIN")
        self._public = public_key
        self._module: _pkcs11.lib | None = None
        self._key: SignMixin | None = None
        self._pin_is_wrong = False

    @property
    def algorithm(self) -> bytes:
        """The signature's AlgorithmIdentifier: see Signer."""
        return RSA_ALGORITHM

    @property
    def spki(self) -> bytes:
        """The public key: see Signer."""
        return self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, to_be_signed: bytes) -> bytes:
        """Sign as Signer does. If the session of an earlier signature is gone, open another one, once."""
        if self._key is not None:
            try:
                return self._signed(self._key, to_be_signed)
            except (pkcs11.PKCS11Error, InvalidSignature) as error:
                log.warning("token.lost", error=f"{type(error).__name__}: {error}")
                self._let_go()
        if self._pin_is_wrong:
            raise SignerUnavailable(
                "the token has refused the PIN: it is not tried again, because a token locks itself"
            )
        try:
            key = self._opened()
            signature = self._signed(key, to_be_signed)
        except _PIN_REFUSED as error:
            self._pin_is_wrong = True
            raise SignerUnavailable(f"the token refuses the PIN: {type(error).__name__}") from error
        except (pkcs11.PKCS11Error, InvalidSignature) as error:
            raise SignerUnavailable(f"the token does not sign: {type(error).__name__} {error}") from error
        self._key = key
        log.info("token.signs", token=self._place.label, key=self._place.object_label)
        return signature

    def _signed(self, key: SignMixin, to_be_signed: bytes) -> bytes:
        """Sign with RSASSA-PKCS1-v1_5 (RFC 8017, 8.2); the digest is made here, so a CRL may have any length."""
        digest = algos.DigestInfo(
            {"digest_algorithm": {"algorithm": "sha256"}, "digest": sha256(to_be_signed).digest()}
        )
        signature = bytes(key.sign(digest.dump(), mechanism=pkcs11.Mechanism.RSA_PKCS))
        self._public.verify(signature, to_be_signed, padding.PKCS1v15(), hashes.SHA256())
        return signature

    def _opened(self) -> SignMixin:
        token = self._token()
        if token.flags & _NEARLY_LOCKED:
            raise SignerUnavailable("the token has at most one PIN attempt left: it is left to an administrator")
        key = token.open(user_pin=self._pin).get_key(
            object_class=pkcs11.ObjectClass.PRIVATE_KEY, key_type=pkcs11.KeyType.RSA, label=self._place.object_label
        )
        if int.from_bytes(key[pkcs11.Attribute.MODULUS]) != self._public.public_numbers().n:
            raise SignerUnavailable("the token's key is not the one of the CA's certificate")
        if not isinstance(key, SignMixin):
            raise SignerUnavailable("the token's key must not sign (CKA_SIGN is not set)")
        return key

    def _token(self) -> pkcs11.Token:
        """Return the token with the configured label; faults of other slots are ignored."""
        self._let_go()
        self._module = pkcs11.lib(str(self._place.module_file))
        found = []
        for slot in self._module.get_slots(token_present=True):
            try:
                token = slot.get_token()
            except pkcs11.PKCS11Error as error:
                log.info("token.slot_skipped", slot=slot.slot_id, error=type(error).__name__)
                continue
            if token.label == self._place.label:
                found.append(token)
        if len(found) != 1:
            raise SignerUnavailable(f"{len(found)} tokens have the label {self._place.label}")
        return found[0]

    def _let_go(self) -> None:
        """Finalize the PKCS#11 module; exit if that fails, since the library cannot be initialised twice."""
        module, self._module, self._key = self._module, None, None
        if module is None:
            return
        try:
            module.finalize()
        except pkcs11.PKCS11Error as error:
            # python-pkcs11 considers it closed, and the vendor's library does not: only a new process can open it.
            raise SystemExit(f"the PKCS#11 module cannot be finalised: {type(error).__name__} {error}") from error

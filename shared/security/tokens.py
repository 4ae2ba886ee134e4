"""Signed tokens between services: ES256 JWS (RFC 7515), kinds distinguished by `typ` and `aud` (RFC 8725, 3.11)."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.errors import Refused

ALGORITHM: Final = "ES256"
Claims = Mapping[str, Any]
# Header with the draft ticket: from application in an answer, to identity in a request.
DRAFT_TICKET_HEADER: Final = "Draft-Ticket"


class TokenKind(Enum):
    """Kinds of tokens, each for one purpose; one kind is never accepted for another."""

    ACCESS = ("at+jwt", "ecert-api", timedelta(minutes=15))
    CHECKOUT = ("checkout+jwt", "ecert-payment", timedelta(minutes=5))
    DRAFT_TICKET = ("draft-ticket+jwt", "ecert-identity", timedelta(minutes=15))
    ATTESTATION = ("attestation+jwt", "ecert-issuance", None)
    ENTITLEMENT = ("entitlement+jwt", "ecert-entitlement", None)
    RECEIPT = ("receipt+jwt", "ecert-receipt", None)
    STAFF = ("staff+jwt", "ecert-operators", timedelta(minutes=1))
    AUDIT_SEAL = ("audit-seal+jwt", "ecert-audit", None)
    SELF_AUDIT = ("self-audit+jwt", "ecert-auditors", None)
    EXTRACT = ("extract+jwt", "ecert-reconciliation", None)

    def __init__(self, typ: str, audience: str, lifetime: timedelta | None) -> None:
        self.typ = typ
        self.audience = audience
        self.lifetime = lifetime


class TokenRefused(Refused):
    """The token is not ours, of another kind, or no longer valid."""

    reason = "token-refused"


class TokenExpired(TokenRefused):
    """The token was valid and has expired."""


@dataclass(frozen=True)
class SigningKey:
    """A private P-256 key with its name in the JWKS."""

    key: ec.EllipticCurvePrivateKey
    kid: str

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a PEM file. Raises ValueError for another kind of key."""
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"{path} is no P-256 key")
        return cls(key=key, kid=thumbprint(key.public_key()))

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JWK."""
        return {**_jwk(self.key.public_key()), "kid": self.kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True)
class KeySet:
    """Public keys by name; several while keys are rotated."""

    keys: Mapping[str, ec.EllipticCurvePublicKey]

    @classmethod
    def load(cls, path: Path) -> "KeySet":
        """Read a JWKS file. Raises ValueError for a key that is not P-256."""
        return cls.parse(json.loads(path.read_text("utf-8")))

    @classmethod
    def load_fresh(cls, path: Path) -> "KeySet":
        """Read a JWKS file that may be replaced while the process runs; cached until the file changes."""
        return _kept(path, path.stat().st_mtime_ns)

    @classmethod
    def parse(cls, jwks: Mapping[str, Any]) -> "KeySet":
        """Parse a JWKS."""
        keys: dict[str, ec.EllipticCurvePublicKey] = {}
        for jwk in jwks["keys"]:
            key = jwt.PyJWK(jwk, algorithm=ALGORITHM).key
            if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
                raise ValueError("a key of the JWKS is not on P-256")
            keys[str(jwk["kid"])] = key
        return cls(keys=keys)


@lru_cache(maxsize=8)
def _kept(path: Path, _changed: int) -> KeySet:
    return KeySet.load(path)


def sign(claims: Claims, *, kind: TokenKind, key: SigningKey, now: datetime, issuer: str) -> str:
    """Sign claims as a token of a kind; adds `iat` and, if the kind expires, `exp`."""
    times: dict[str, int] = {"iat": int(now.timestamp())}
    if kind.lifetime is not None:
        times["exp"] = int((now + kind.lifetime).timestamp())
    payload = {**claims, **times, "iss": issuer, "aud": kind.audience}
    return jwt.encode(payload, key.key, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": kind.typ})


def verify(token: str, *, kind: TokenKind, keys: KeySet, now: datetime, issuer: str) -> dict[str, Any]:
    """Return the claims of a valid token. Raises TokenRefused."""
    try:
        header = jwt.get_unverified_header(token)
        key = keys.keys.get(str(header.get("kid")))
        if key is None or header.get("typ") != kind.typ:
            raise TokenRefused("unknown key or another kind of token")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=kind.audience,
            issuer=issuer,
            options={"verify_exp": False, "verify_iat": False, "require": ["iat", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefused(type(error).__name__) from error
    _check_times(claims, kind, now)
    return claims


def read_unverified(token: str) -> dict[str, Any]:
    """Return the claims of a token from this service's own records. Raises TokenRefused if it is no token.

    The signature is not checked: its key may be retired by now. Never use this for what comes from outside.
    """
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefused(type(error).__name__) from error
    return claims


def _check_times(claims: Claims, kind: TokenKind, now: datetime) -> None:
    """Check the times with a tolerance of a minute for `iat`; `exp` has none, since lifetimes are short."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or issued > now.timestamp() + 60:
        raise TokenRefused("issued in the future")
    if kind.lifetime is not None and (not isinstance(expires, int) or expires <= now.timestamp()):
        raise TokenExpired("expired")


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _b64(numbers.x.to_bytes(32, "big")),
        "y": _b64(numbers.y.to_bytes(32, "big")),
    }


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the key's thumbprint (RFC 7638)."""
    canonical = json.dumps(_jwk(key), sort_keys=True, separators=(",", ":"))
    return _b64(hashlib.sha256(canonical.encode()).digest())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

"""Signature of a feed's event: a detached JWS (RFC 7515, appendix F) that outsiders verify with the JWKS only.

The payload is canonical JSON (RFC 8785) of the attributes named below and of the data's SHA-256, all of them strings.
`docs/events/README.md` describes how to rebuild it with a shell and openssl.
"""

import base64
import hashlib
import json
from typing import Final

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shared.errors import Refused
from shared.events.base import Envelope
from shared.messaging import codec
from shared.security.tokens import ALGORITHM, KeySet, SigningKey

TYP: Final = "feed-event+jws"
SIGNED: Final = ("dataschema", "id", "position", "sequence", "source", "subject", "time", "type")


class SignatureWrong(Refused):
    """The event was changed after signing, or signed by somebody else."""

    reason = "signature-wrong"


def payload(envelope: Envelope) -> bytes:
    """Return the bytes to sign. Raises KeyError for an event without a position."""
    attributes = codec.attributes(envelope)
    signed = {name: attributes[name] for name in SIGNED}
    signed |= {"feed": envelope.topic.value, "datasha256": hashlib.sha256(envelope.data).hexdigest()}
    # Plain strings without control characters: sorted and without spaces, this is their RFC 8785 form.
    return json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(envelope: Envelope, key: SigningKey) -> str:
    """Return the detached JWS of a positioned event. The same event and key give the same signature."""
    header = _b64(json.dumps({"alg": ALGORITHM, "kid": key.kid, "typ": TYP}, separators=(",", ":")).encode())
    signing_input = f"{header}.{_b64(payload(envelope))}".encode()
    der = key.key.sign(signing_input, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return f"{header}..{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def verify(envelope: Envelope, keys: KeySet) -> str:
    """Verify an event's signature. Returns the name of the key that made it. Raises SignatureWrong."""
    if envelope.signature is None or envelope.position is None:
        raise SignatureWrong("the event is not signed")
    header, middle, value = _parts(envelope.signature)
    try:
        whole = f"{header}.{_b64(payload(envelope))}.{value}"
        kid = str(jwt.get_unverified_header(whole).get("kid"))
        if (key := keys.keys.get(kid)) is None:
            raise SignatureWrong("the signature's key is not published")
        found = jwt.PyJWS().decode_complete(whole, key, algorithms=[ALGORITHM])
    except jwt.PyJWTError as error:
        raise SignatureWrong(type(error).__name__) from error
    if middle or found["header"].get("typ") != TYP:
        raise SignatureWrong("the signature is of another kind")
    return kid


def _parts(signature: str) -> tuple[str, str, str]:
    match signature.split("."):
        case [header, middle, value]:
            return header, middle, value
        case _:
            raise SignatureWrong("the signature is no JWS")


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

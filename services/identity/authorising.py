"""Sign-in codes: the sign-in host redirects to the portal with a code, which the initiator redeems (RFC 6749, 7636)."""

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from cryptography import x509

from services.identity import certificates, one_time_store, store
from services.identity.certificates import Trust
from services.identity.handlers import Identified, Tokens, identify, issue_tokens
from services.identity.one_time_store import Code
from services.identity.refusals import AuthorisationRefused, CodeRefused, NotEnrolled, RedirectRefused
from shared import audit
from shared.audit import Detail
from shared.security.tokens import SigningKey
from shared.tx import Tx
from shared.vocabulary import RenewalId

CODE_LIFETIME: Final = timedelta(seconds=60)
_STATE: Final = re.compile(r"[!-~]{8,1024}")
# The SHA-256 of the verifier in Base64url without padding, the only supported method.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER: Final = r"^[A-Za-z0-9._~-]{43,128}$"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Authorise:
    """A request for a sign-in code: the address to return to, and the purpose."""

    redirect_uri: str
    code_challenge: str
    renewal_id: RenewalId | None


@dataclass(frozen=True, kw_only=True)
class RedeemCode:
    """A request to exchange a code for a token."""

    code: str = field(repr=False)
    code_verifier: str = field(repr=False)
    redirect_uri: str


def read_redirect_uri(given: Sequence[str], allowed: Collection[str]) -> str:
    """Return the requested address if it is an allowed one, compared as a whole. Raises RedirectRefused."""
    if len(given) != 1 or given[0] not in allowed:
        raise RedirectRefused("redirect_uri is not registered")
    return given[0]


def read_state(given: Sequence[str]) -> str | None:
    """Return the state to pass back; None unless it is a single one of a valid length."""
    return given[0] if len(given) == 1 and _STATE.fullmatch(given[0]) else None


def read_authorise(
    redirect_uri: str, *, challenges: Sequence[str], methods: Sequence[str], renewals: Sequence[str]
) -> Authorise:
    """Return the other parameters of the request. Raises AuthorisationRefused."""
    if len(challenges) != 1 or not _CHALLENGE.fullmatch(challenges[0]):
        raise AuthorisationRefused("code_challenge must be the SHA-256 of the verifier, in Base64url")
    if methods and list(methods) != ["S256"]:
        raise AuthorisationRefused("code_challenge_method can only be S256")
    if len(renewals) > 1 or not all(map(_UUID.fullmatch, renewals)):
        raise AuthorisationRefused("renewal_id must be one UUID")
    renewal_id = RenewalId(uuid.UUID(renewals[0])) if renewals else None
    return Authorise(redirect_uri=redirect_uri, code_challenge=challenges[0], renewal_id=renewal_id)


def going_back(redirect_uri: str, **parameters: str | None) -> str:
    """Return the redirect address with the answer's parameters."""
    return f"{redirect_uri}?{urlencode({name: value for name, value in parameters.items() if value is not None})}"


def authorise(tx: Tx, command: Authorise, certificate: x509.Certificate, *, trust: Trust) -> str:
    """Return a code for the AR who presented their e-Cert. Raises the errors of identify."""
    found = identify(tx, certificate, trust=trust)
    code = secrets.token_urlsafe(32)
    kept = Code(
        code_sha256=digest(code),
        certificate_sha256=found.certificate_sha256,
        ar_id=found.ar.id,
        redirect_uri=command.redirect_uri,
        code_challenge=command.code_challenge,
        renewal_id=command.renewal_id,
        expires_at=tx.now + CODE_LIFETIME,
    )
    one_time_store.add_code(tx.conn, kept, tx.now)
    details: dict[str, Detail] = {"certificate_sha256": found.certificate_sha256, "code_sha256": kept.code_sha256}
    audit.record(tx, actor=found.ar.id, action="sign-in-code-given", subject=found.subscriber.id, details=details)
    return code


def take_code(tx: Tx, command: RedeemCode) -> Code | CodeRefused:
    """Use up the code, whatever the outcome: nobody can try several verifiers. A refusal is returned, not raised, so
    that the transaction commits.

    All refusals look the same from outside; the audit log distinguishes them.
    """
    code_sha256 = digest(command.code)
    code = one_time_store.take_code(tx.conn, code_sha256, tx.now)
    if code is None:
        used = one_time_store.find_used_code(tx.conn, code_sha256)
        # An invented code leaves no row: anybody could fill the log with them.
        return CodeRefused() if used is None else _refuse(tx, used, "used-before")
    if code.expires_at <= tx.now:
        return _refuse(tx, code, "expired")
    if not hmac.compare_digest(code.redirect_uri.encode(), command.redirect_uri.encode()):
        return _refuse(tx, code, "another-redirect-uri")
    if not hmac.compare_digest(code.code_challenge, challenge_of(command.code_verifier)):
        return _refuse(tx, code, "another-verifier")
    return code


def redeem(tx: Tx, code: Code, *, trust: Trust, key: SigningKey) -> Tokens:
    """Return the tokens for a code; validates the e-Cert once more. Raises the errors of identify."""
    return issue_tokens(tx, _still_good(tx, code, trust=trust), code.renewal_id, "code", key=key)


def _still_good(tx: Tx, code: Code, *, trust: Trust) -> Identified:
    der = store.find_certificate(tx.conn, code.certificate_sha256)
    if der is None:
        raise NotEnrolled("no Authorised Representative is registered with this e-Cert")
    found = identify(tx, certificates.read(der), trust=trust)
    if found.ar.id != code.ar_id:
        raise NotEnrolled("the e-Cert is registered for another person now")
    return found


def _refuse(tx: Tx, code: Code, why: str) -> CodeRefused:
    details: dict[str, Detail] = {"reason": why, "code_sha256": code.code_sha256}
    audit.record(tx, actor="unknown", action="sign-in-code-refused", subject=code.ar_id, details=details)
    return CodeRefused()


def digest(code: str) -> str:
    """Return the digest under which a code is stored."""
    return hashlib.sha256(code.encode()).hexdigest()


def challenge_of(verifier: str) -> str:
    """Return the challenge of a verifier (RFC 7636, S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()

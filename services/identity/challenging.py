"""Sign-in without a client certificate: the AR signs a challenge with the e-Cert, once, within minutes."""

import json
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Final

from cryptography import x509

from services.identity import one_time_store, reading
from services.identity.certificates import Trust
from services.identity.handlers import Tokens, identify, issue_tokens
from services.identity.one_time_store import Challenge
from services.identity.refusals import ChallengeRefused
from shared import audit
from shared.audit import Detail
from shared.security.tokens import SigningKey
from shared.tx import Begin, Tx
from shared.validation.parsing_pool import INLINE, Parser
from shared.vocabulary import RenewalId

# Never the application's: a signature for a sign-in signs no application, and the other way round.
PURPOSE: Final = "hk.ecert.sign-in.v1"
LIFETIME: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class AnswerChallenge:
    """A signature over a challenge's document."""

    challenge_id: uuid.UUID
    signature: bytes = field(repr=False)


def challenge(tx: Tx, renewal_id: RenewalId | None, *, origin: str) -> Challenge:
    """Return a challenge to sign.

    `origin` is the site that may request it: signers can see that it is the right one.
    """
    expires_at = (tx.now + LIFETIME).replace(microsecond=0)
    content = {
        "purpose": PURPOSE,
        "nonce": secrets.token_urlsafe(32),
        "origin": origin,
        "expires_at": expires_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if renewal_id is not None:
        content["renewal_id"] = str(renewal_id)
    made = Challenge(
        id=tx.new_id(),
        # ASCII only, so this is also its canonical form (RFC 8785).
        document=json.dumps(content, sort_keys=True, separators=(",", ":")),
        renewal_id=renewal_id,
        expires_at=expires_at,
    )
    one_time_store.add_challenge(tx.conn, made, tx.now)
    return made


def verify(begin: Begin, command: AnswerChallenge, parser: Parser = INLINE) -> x509.Certificate:
    """Verify the signature over the challenge. Returns the signer's certificate. No transaction waits for the parser.

    Raises ChallengeRefused or SignatureRefused.
    """
    with begin() as tx:
        asked = one_time_store.find_challenge(tx.conn, command.challenge_id, tx.now)
    if asked is None:
        raise _refused()
    return reading.verify(parser, command.signature, asked.document.encode(), tx.now).certificate


def sign_in(
    tx: Tx, command: AnswerChallenge, certificate: x509.Certificate, *, trust: Trust, key: SigningKey
) -> Tokens:
    """Return the tokens of the AR who signed the challenge, and use it up.

    A refused signer may sign the same challenge with another e-Cert. Raises ChallengeRefused, and the errors of
    identify.
    """
    taken = take(tx, command)
    return issue_tokens(tx, identify(tx, certificate, trust=trust), taken.renewal_id, "signed-challenge", key=key)


def take(tx: Tx, command: AnswerChallenge) -> Challenge:
    """Return the challenge, and use it up. Raises ChallengeRefused."""
    taken = one_time_store.take_challenge(tx.conn, command.challenge_id, tx.now)
    if taken is None:
        raise _refused()
    return taken


def record_refusal(tx: Tx, command: AnswerChallenge, reason: str, certificate_sha256: str | None) -> None:
    """Audit a refused answer, once for each challenge, reason and e-Cert.

    An invented challenge leaves no row: anybody could fill the log with them.
    """
    signer = certificate_sha256 or ""
    if one_time_store.add_refusal(tx.conn, command.challenge_id, reason, signer):
        subject = certificate_sha256 or str(command.challenge_id)
        details: dict[str, Detail] = {"reason": reason, "challenge_id": str(command.challenge_id)}
        audit.record(tx, actor="unknown", action="sign-in-refused", subject=subject, details=details)


def _refused() -> ChallengeRefused:
    return ChallengeRefused("ask for another challenge and sign that")

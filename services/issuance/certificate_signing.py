"""Two signatures of one intent: precertificate, logs, certificate. Each step is stored before the next one.

A crash between two steps repeats the step that was not stored, with the same bytes: one serial number never has two
different precertificates or certificates.
"""

from datetime import UTC, datetime

from services.issuance import certificate_store, store, stray_certificates
from services.issuance.certificate_issuance import LEASE
from services.issuance.ct import scts
from services.issuance.ct.scts import SCT
from services.issuance.ct.submission import NotEnoughSCTs
from services.issuance.domain import Intent, OrderState
from services.issuance.ended_intents import ACTOR, end_and_refuse
from services.issuance.signing_validation import IssuanceDeps
from services.issuance.step_times import Step, measured
from shared import audit
from shared.db import Pool
from shared.errors import Unavailable
from shared.observability import tracing
from shared.tx import Clock, Tx, transaction


class ValidationLapsed(Unavailable):
    """The checks before a signature were made too long ago; what is stored stays, and is validated again."""

    reason = "validation-lapsed"


def sign(pool: Pool, intent: Intent, deps: IssuanceDeps, clock: Clock, *, validated_at: datetime) -> bytes | None:
    """Return the certificate of a leased intent; None if the intent was ended or settled meanwhile.

    No transaction is open while key or logs are used. Raises ValidationLapsed, NotEnoughSCTs, SignerUnavailable,
    SignatureUnusable or CertificateRefused: what is stored stays, and the lease ends.
    """
    current: Intent | None = intent
    if intent.precertificate is None:
        _require_validation(validated_at, clock())
        with tracing.step("sign the precertificate"), measured(Step.SIGN):
            der = deps.issuer.precertificate(intent)
        with transaction(pool, clock=clock) as tx:
            current = _save_precertificate(tx, intent, der)
    if current is not None and current.certificate_tbs is None:
        with tracing.step("submit to logs"), measured(Step.TRANSPARENCY):
            found = _collect(pool, current, deps, clock)
        tbs = deps.issuer.certificate_tbs(current, scts.encode_list(found))
        with transaction(pool, clock=clock) as tx:
            current = certificate_store.save_certificate_tbs(tx.conn, current.serial, tbs, now=tx.now, lease=LEASE)
    if current is None:
        return None
    now = clock()
    _require_validation(validated_at, now)
    with tracing.step("sign"), measured(Step.SIGN):
        return deps.issuer.sign(current, deps.logs.log_list, now)


def _require_validation(validated_at: datetime, now: datetime) -> None:
    """Raise ValidationLapsed after the lease, or on another day: the rules of that day may be others (`Dated`)."""
    if now > validated_at + LEASE or now.astimezone(UTC).date() != validated_at.astimezone(UTC).date():
        raise ValidationLapsed(f"validated at {validated_at:%Y-%m-%d %H:%M:%S}")


def _save_precertificate(tx: Tx, intent: Intent, der: bytes) -> Intent | None:
    """Store the signed precertificate before any log sees it; revoked, if nothing may follow it any more."""
    stray = stray_certificates.stray_of(tx, der, origin="intent-ended")
    store.lock_key(tx.conn, stray.spki_sha256)
    store.lock_gate(tx.conn, intent.renewal_id)
    order = store.lock_order(tx.conn, intent.item_id)
    assert order is not None
    saved = certificate_store.save_precertificate(tx.conn, intent.serial, der, now=tx.now, lease=LEASE)
    if saved is None:
        if certificate_store.is_ended(tx.conn, intent.serial):
            stray_certificates.revoke_precertificate(tx, der, ACTOR)
        return None
    if order.state is OrderState.ISSUING and store.is_blocked(tx.conn, stray.spki_sha256):
        end_and_refuse(tx, order, objection="key-blocked")
        return None
    details = {"item_id": str(intent.item_id), "precertificate_sha256": stray.sha256.hex()}
    audit.record(tx, actor=ACTOR, action="precertificate-signed", subject=intent.serial, details=details)
    return saved


def _collect(pool: Pool, intent: Intent, deps: IssuanceDeps, clock: Clock) -> tuple[SCT, ...]:
    """Return the SCTs of the precertificate. Raises NotEnoughSCTs after storing those that came."""
    kept = () if intent.scts is None else scts.decode_list(intent.scts)
    try:
        return deps.logs.collect(deps.issuer.submission(intent), kept, clock)
    except NotEnoughSCTs as too_few:
        if too_few.scts:
            with transaction(pool, clock=clock) as tx:
                certificate_store.save_scts(tx.conn, intent.serial, scts.encode_list(too_few.scts))
        raise

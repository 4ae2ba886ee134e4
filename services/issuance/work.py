"""Tasks of issuance: make PINs, sign certificates and CRLs."""

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography import x509
from prometheus_client import Counter, Gauge, Histogram

from services.issuance import certificate_issuance, certificate_signing, certificate_store, pin_store, store
from services.issuance.ca import crl
from services.issuance.certificate_issuance import LEASE, NoIntent
from services.issuance.domain import PIN, Intent, Order
from services.issuance.issuer import CRLNotClean, Issuer, SignatureUnusable
from services.issuance.pins import envelope_encryption, pins
from services.issuance.pins.envelope_encryption import Letter
from services.issuance.pins.pins import Pepper
from services.issuance.signing_validation import IssuanceDeps
from services.issuance.step_times import Step, measured
from shared import audit
from shared.db import Conn, Pool
from shared.events.issuance import PINEnvelopeSealed
from shared.messaging import outbox
from shared.observability import tracing
from shared.runtime.task_loop import claimed
from shared.security import proofs
from shared.tx import Clock, Tx, transaction, utc_now
from shared.vocabulary import ItemId, RenewalId

# Hashing and sealing a PIN takes a tenth of a second.
PIN_LEASE: Final = timedelta(seconds=10)

ISSUED: Final = Counter("issuance_certificates_total", "Certificates issued", ["product"])
REFUSED: Final = Counter("issuance_refused_total", "Valid CSRs that got no certificate: discarded, withheld or refused")
CRL_AGE: Final = Gauge("issuance_crl_age_seconds", "Age of the newest CRL")
SECONDS: Final = Histogram(
    "issuance_seconds",
    "Time from a valid CSR to its certificate",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)


@dataclass(frozen=True, kw_only=True)
class PINMaker:
    """Dependencies for making a PIN."""

    pepper: Pepper
    print_certificate: x509.Certificate
    random: pins.Random = secrets.token_bytes


def seal_next_pin(pool: Pool, maker: PINMaker, *, clock: Clock = utc_now) -> bool:
    """Make one planned PIN: hash, seal and announce in one transaction; the PIN itself is then discarded."""
    with transaction(pool, clock=clock) as tx:
        envelope_id = pin_store.claim_planned_pin(tx.conn, tx.now, PIN_LEASE)
    if envelope_id is None:
        return False
    with claimed(), transaction(pool, clock=clock) as tx:
        planned = pin_store.lock_planned_pin(tx.conn, envelope_id)
        if planned is not None:
            with tracing.span("seal PIN", parent=planned.traceparent) as traceparent:
                _seal(replace(tx, traceparent=traceparent), planned, maker)
    return True


def _seal(tx: Tx, planned: PIN, maker: PINMaker) -> None:
    order = store.find_order(tx.conn, planned.item_id)
    renewal = store.find_renewal(tx.conn, order.renewal_id) if order else None
    assert order is not None
    assert renewal is not None
    if pin_store.was_announced(tx.conn, renewal.renewal_id, planned.envelope_id):
        _replace_forgotten(tx, planned)
        return
    pin = pins.make(maker.random)
    letter = Letter(
        renewal_id=renewal.renewal_id,
        item_id=order.item_id,
        envelope_id=planned.envelope_id,
        reference=order.reference,
        server_name=planned.server_name,
        pin=pin,
        recipient=renewal.recipient,
        language=proofs.read(renewal.document).language,
    )
    pin_store.save_sealed(tx.conn, planned.envelope_id, maker.pepper.hash(planned.envelope_id, pin, maker.random))
    _announce(tx, letter, envelope_encryption.seal(letter, maker.print_certificate), replaces=planned.replaces)


def _replace_forgotten(tx: Tx, planned: PIN) -> None:
    """Plan another PIN for one whose letter was sent and whose hash a restore has lost; its letter
    replaces that one.
    """
    pin_store.save_forgotten(tx.conn, planned.envelope_id)
    envelope_id = pin_store.plan_pin(tx, planned.item_id, planned.server_name)
    audit.record(
        tx,
        actor="issuance",
        action="pin-forgotten",
        subject=str(planned.envelope_id),
        details={"item_id": str(planned.item_id), "planned": str(envelope_id)},
    )


def _announce(tx: Tx, letter: Letter, sealed: bytes, *, replaces: UUID | None) -> None:
    outbox.add(
        tx,
        PINEnvelopeSealed(
            renewal_id=RenewalId(letter.renewal_id),
            item_id=ItemId(letter.item_id),
            envelope_id=letter.envelope_id,
            server_name=letter.server_name,
            sealed=base64.b64encode(sealed).decode(),
            replaces=replaces,
        ),
    )
    audit.record(
        tx,
        actor="issuance",
        action="pin-sealed",
        subject=str(letter.envelope_id),
        details={"item_id": str(letter.item_id), "server_name": letter.server_name},
    )


def issue_next(pool: Pool, deps: IssuanceDeps, *, clock: Clock = utc_now) -> bool:
    """Issue one certificate, or end one that a crash left between signing and storing; say whether there was one."""
    with transaction(pool, clock=clock) as tx:
        order, intent = _claim(tx)
    if order is None:
        return False
    with claimed(), tracing.span("issue certificate", parent=order.traceparent), measured(Step.ISSUE):
        _issue(pool, order, intent, deps, clock)
    return True


def _claim(tx: Tx) -> tuple[Order | None, Intent | None]:
    """Claim the most urgent row: an interrupted intent, then a new order, then one that failed before."""
    for fresh in (True, False):
        intent = certificate_store.claim_due_intent(tx.conn, tx.now, LEASE, fresh=fresh)
        if intent is not None:
            return store.find_order(tx.conn, intent.item_id), intent
        order = store.claim_due_order(tx.conn, tx.now, LEASE, fresh=fresh)
        if order is not None:
            return order, None
    return None, None


def _issue(pool: Pool, order: Order, stored: Intent | None, deps: IssuanceDeps, clock: Clock) -> None:
    if stored is None:
        with tracing.step("check, lint, store the intent"), transaction(pool, clock=clock) as tx:
            validated_at = tx.now
            intent = certificate_issuance.make_intent(tx, order.item_id, deps)
    else:
        with tracing.step("check and lint again"), transaction(pool, clock=clock) as tx:
            validated_at = tx.now
            intent = certificate_issuance.revalidate_intent(tx, stored, deps)
    if isinstance(intent, NoIntent):
        if intent is NoIntent.ENDED:
            REFUSED.inc()
        return
    der = certificate_signing.sign(pool, intent, deps, clock, validated_at=validated_at)
    if der is None:
        return
    with transaction(pool, clock=clock) as tx:
        settled = certificate_issuance.settle(tx, intent, der)
    if settled:
        _count(order, clock())


def _count(order: Order, now: datetime) -> None:
    ISSUED.labels(order.product).inc()
    if order.csr_received_at is not None:
        SECONDS.observe(max(0.0, (now - order.csr_received_at).total_seconds()))


def publish_next_crl(pool: Pool, issuer: Issuer, *, clock: Clock = utc_now) -> bool:
    """Make a CRL if one is due: an hour after the last one, or as soon as a certificate was revoked."""
    with transaction(pool, clock=clock) as tx:
        if not _crl_due(tx.conn, tx.now):
            return False
        number, tbs = _planned_crl(tx, issuer)
    der = crl.assemble(tbs, issuer.signer.algorithm, issuer.signer.sign(tbs))
    if not x509.load_der_x509_crl(der).is_signature_valid(issuer.ca.certificate.public_key()):  # type: ignore[arg-type]
        raise SignatureUnusable(f"CRL {number}")
    with transaction(pool, clock=clock) as tx:
        if certificate_store.save_crl(tx.conn, number, der):
            audit.record(tx, actor="issuance", action="crl-published", subject=str(number))
    return True


def _crl_due(conn: Conn, now: datetime) -> bool:
    latest = certificate_store.latest_crl(conn)
    if latest is None or latest.this_update + crl.INTERVAL <= now:
        return True
    return certificate_store.has_unlisted_revocation(conn) or certificate_store.find_unsigned_crl(conn) is not None


def _planned_crl(tx: Tx, issuer: Issuer) -> tuple[int, bytes]:
    """Return number and stored bytes of the next CRL; of one that a crash left unsigned, if there is one."""
    number = certificate_store.lock_series(tx.conn) + 1
    unsigned = certificate_store.find_unsigned_crl(tx.conn)
    if unsigned is not None:
        return unsigned.number, unsigned.tbs
    latest = certificate_store.latest_crl(tx.conn)
    certificate_store.list_unlisted(tx.conn, number)
    # Never before the last list's: the machine that made that one may be a few seconds ahead.
    this_update = max(tx.now, latest.this_update) if latest else tx.now
    tbs = crl.crl_tbs(
        certificate_store.revocations(tx.conn, number, latest.this_update if latest else None),
        number=number,
        this_update=this_update,
        ca=issuer.ca,
        algorithm=issuer.signer.algorithm,
    )
    if findings := issuer.crl_findings(tbs, number):
        raise CRLNotClean(f"CRL {number}: {'; '.join(findings)}")
    certificate_store.add_crl(tx.conn, number, tbs, this_update=this_update)
    return number, tbs

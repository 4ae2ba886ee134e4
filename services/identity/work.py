"""CRL task of identity: reads the sources on schedule, so that no sign-in waits for the network."""

from datetime import timedelta
from typing import Final

import structlog
from cryptography import x509
from prometheus_client import Counter, Gauge

from services.identity import certificates, crl_sources, crl_store
from services.identity.certificates import Trust
from services.identity.crl_sources import SourceUnavailable
from shared import audit
from shared.db import Pool
from shared.pki import crls
from shared.pki.crls import DEFAULT_MAX_AGES, CRLRefused, MaxAges
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now

log = structlog.get_logger()

# Longer than a download can take.
LEASE: Final = timedelta(seconds=90)
RETRY: Final = timedelta(seconds=15)
KEEP: Final = timedelta(days=2)

REFUSED = Counter("crl_refused_total", "CRLs rejected", ["reason"])
FAILED = Counter("crl_source_failed_total", "CRL sources that could not be read")
THIS_UPDATE = Gauge("crl_this_update_seconds", "Unix time of the newest CRL's thisUpdate", ["issuer", "scope"])
USABLE_UNTIL = Gauge(
    "crl_usable_until_seconds",
    "Unix time at which the newest CRL expires or reaches its age limit",
    ["issuer", "scope"],
)
EVIDENCE_LAPSING = Gauge(
    "identity_evidence_lapsing",
    "Subscribers, and ARs in office, whose register evidence is unknown or lapses within 45 days",
    ["kind"],
)


def refresh_next(pool: Pool, *, trust: Trust, every: timedelta, clock: Clock = utc_now) -> bool:
    """Read one due source of CRLs. Returns whether there was one."""
    with transaction(pool, clock=clock) as tx:
        source = crl_store.claim_due_source(tx.conn, tx.now, LEASE)
    if source is None:
        return False
    with claimed():
        error = _read(pool, source, trust, clock)
        with transaction(pool, clock=clock) as tx:
            due_at = tx.now + (every if error is None else min(RETRY, every))
            crl_store.settle_source(tx.conn, source, due_at=due_at, now=tx.now, error=error)
            crl_store.prune_crls(tx.conn, tx.now - KEEP)
    return True


def _read(pool: Pool, source: str, trust: Trust, clock: Clock) -> str | None:
    """Store every CRL of a source. Returns the reason if the source cannot be read."""
    try:
        for data in crl_sources.read(source):
            _take(pool, data, trust, clock)
    except SourceUnavailable as unavailable:
        FAILED.inc()
        log.warning("crl.source_unavailable", source=source, error=str(unavailable))
        return str(unavailable)
    return None


def _take(pool: Pool, data: bytes, trust: Trust, clock: Clock) -> None:
    """Accept or refuse one CRL; an invalid file does not affect the others."""
    try:
        der = crls.as_der(data)
        issuer = crls.issuer_of(der, trust.issuers)
        with transaction(pool, clock=clock) as tx:
            accept(tx, der, issuer, trust.crl_ages)
    except CRLRefused as refused:
        REFUSED.labels(refused.reason).inc()
        log.warning("crl.refused", reason=refused.reason)


def accept(tx: Tx, der: bytes, issuer: x509.Certificate, ages: MaxAges = DEFAULT_MAX_AGES) -> None:
    """Store a CRL as the newest of its list.

    Raises CRLRefused for one that is not current, or older than the stored one.
    """
    crl = crls.accept(der, issuer, tx.now, ages)
    known = crl_store.find_crls(tx.conn, [crl.issuer_sha256]).get(crl.issuer_sha256, [])
    if not crl_store.add_crl(tx.conn, crl, tx.now, usable_until=crls.usable_until(crl, issuer, ages)):
        raise CRLRefused("crl-goes-back")
    if all(held.sha256 != crl.sha256 for held in known):
        details = {"sha256": crl.sha256, "number": str(crl.number), "scope": crl.scope}
        subject = certificates.common_name(issuer)
        audit.record(tx, actor="identity", action="crl-accepted", subject=subject, details=details)

"""Self-audit (Baseline Requirements 8.7): a random sample of certificates, linted and compared with the proofs of their
names again, and its signed report.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Final

from cryptography import x509

from services.issuance import certificate_store, domain_evidence, store
from services.issuance.ct.log_list import LogList
from services.issuance.domain import Certificate
from services.issuance.operator_checks import findings_of
from shared import audit
from shared.db import Conn, Pool
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.security.tokens import SigningKey, TokenKind, sign
from shared.tx import Clock, transaction, utc_now

# Baseline Requirements 8.7, of certificates since the previous sample.
MIN_PERCENT: Final = 3
_SERVICE: Final = "issuance"


@dataclass(frozen=True, kw_only=True)
class Period:
    """The time in which the audited certificates were issued; `until` is the first moment after it."""

    since: datetime
    until: datetime


def command(key: Callable[[], SigningKey], log_list: Callable[[], LogList]) -> OperatorCommand:
    """Return the command. The audit key and the log list are read when it is run."""
    return OperatorCommand(
        help="lint a random sample of a period's certificates again; exit status 1 if there is a finding",
        run=lambda pool, options: _run(pool, options, key(), log_list()),
        add_arguments=_arguments,
        while_recovering=True,
    )


def sample(serials: Sequence[str], percent: int, rng: random.Random) -> list[str]:
    """Return a random sample: this share, rounded up, and so at least one if there are any."""
    return sorted(rng.sample(serials, ceil(Fraction(len(serials) * percent, 100))))


def _run(pool: Pool, options: argparse.Namespace, key: SigningKey, log_list: LogList) -> Report:
    period = Period(since=_midnight(options.since), until=_midnight(options.until))
    return self_audit(
        pool,
        period,
        percent=options.percent,
        rng=random.SystemRandom(),
        key=key,
        log_list=log_list,
        output=options.output,
        actor=options.actor,
    )


def self_audit(
    pool: Pool,
    period: Period,
    *,
    percent: int,
    rng: random.Random,
    key: SigningKey,
    log_list: LogList,
    output: Path,
    actor: str,
    clock: Clock = utc_now,
) -> Report:
    """Run the linter of today on a sample, look for the proofs of its names, write the report and its signature.

    Both are recorded in the audit log. OUTPUT.jwt is a token (ES256, by the audit key) whose subject is the SHA-256 of
    OUTPUT. Raises OSError.
    """
    with transaction(pool, clock=clock) as tx:
        serials = certificate_store.serials_issued(tx.conn, period.since, period.until)
    sampled = sample(serials, percent, rng)
    certificates = [_linted(pool, serial, log_list) for serial in sampled]
    found = sum(1 for each in certificates if each["findings"])
    summary = {
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "taken_at": clock().isoformat(),
        "issued": len(serials),
        "percent": percent,
        "sampled": len(sampled),
        "with_findings": found,
    }
    report = json.dumps({**summary, "certificates": certificates}, indent=1, ensure_ascii=False).encode()
    digest = sha256(report).hexdigest()
    token = sign({"sub": digest}, kind=TokenKind.SELF_AUDIT, key=key, now=clock(), issuer=_SERVICE)
    output.write_bytes(report)
    output.with_name(f"{output.name}.jwt").write_text(token, encoding="ascii")
    details: dict[str, audit.Detail] = {"report_sha256": digest, "sampled": len(sampled), "with_findings": found}
    with transaction(pool, clock=clock) as tx:
        audit.record(tx, actor=actor, action="self-audit", subject=f"{period.since}/{period.until}", details=details)
    return Report(values={**summary, "report_sha256": digest}, failed=found > 0)


def _linted(pool: Pool, serial: str, log_list: LogList) -> dict[str, object]:
    with transaction(pool) as tx:
        certificate = certificate_store.find_by_serial(tx.conn, serial)
        assert certificate is not None
        linted = findings_of(certificate.der, log_list)
        findings = [
            *({"severity": each.severity, "code": each.code, "message": each.message} for each in linted),
            *_unvalidated(tx.conn, certificate),
        ]
    return {
        "serial": serial,
        "sha256": certificate.sha256.hex(),
        "issued_at": certificate.issued_at.isoformat(),
        "findings": findings,
    }


def _unvalidated(conn: Conn, certificate: Certificate) -> Iterator[dict[str, str]]:
    """Yield a finding for each name of which the books have no proof of control within reuse, or no answer about CAA
    in force, when its bytes were made.
    """
    renewal = store.find_renewal(conn, certificate.renewal_id)
    made_at = certificate_store.find_intended_at(conn, certificate.serial)
    assert renewal is not None
    assert made_at is not None
    found = x509.load_der_x509_certificate(certificate.der).extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    # A database that was put back has the certificate's intent again, at a later moment.
    for each in domain_evidence.absent_at(conn, renewal.subscriber_id, names, min(made_at, certificate.issued_at)):
        code = f"issuance.{each.kind}_{each.reason}".replace("-", "_")
        yield {"severity": "ERROR", "code": code, "message": each.server_name}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _percent(text: str) -> int:
    if not MIN_PERCENT <= int(text) <= 100:
        raise ValueError(text)
    return int(text)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=date.fromisoformat, required=True, help="first day of the period (UTC)")
    parser.add_argument("--until", type=date.fromisoformat, required=True, help="first day after the period")
    parser.add_argument("--output", type=Path, required=True, help="file to write; OUTPUT.jwt is its signature")
    parser.add_argument(
        "--percent",
        type=_percent,
        default=MIN_PERCENT,
        help="share of the certificates (default, and least: 3)",
    )

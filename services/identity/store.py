"""SQL of people and evidence; for CRLs see crl_store.py. Never commits.

Lock order of this service: an AR, then that AR's e-Certs; an AR before their successor.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from services.identity.domain import AuthorisedRepresentative, RegisterEvidence, Subscriber
from shared.audit import Detail
from shared.db import Conn
from shared.pki.crls import StoredCRL
from shared.runtime.pruning import Rule
from shared.vocabulary import ARId, RenewalId, SubscriberId


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A verified signature with everything needed to verify it again."""

    id: uuid.UUID
    renewal_id: RenewalId
    subscriber_id: SubscriberId
    ar_id: ARId
    nonce: str
    document: bytes
    document_sha256: str
    signature: bytes
    signature_sha256: str
    certificate_sha256: str
    chain: list[bytes]
    decision: dict[str, Detail]
    attestation: str
    verified_at: datetime


# Longer than the topic keeps them (45 days): what a lost Kafka is filled from again is whole.
COPIES: Final = Rule(
    table="outbox",
    keep=((date(2026, 1, 1), timedelta(days=60)),),
    statement="SELECT * FROM blank_copies_of_evidence(%(before)s, %(limit)s)",
)
_OF_EVIDENCE = "verified_at, source, checker"
_SUBSCRIBER = f"id, name, name_zh, brn, country, state_or_province, locality, {_OF_EVIDENCE}"
_AR = f"id, subscriber_id, name, name_zh, email, address, appointed_at, ended_at, {_OF_EVIDENCE}"
T = TypeVar("T")
_EVIDENCE = """id, renewal_id, subscriber_id, ar_id, nonce, document, document_sha256, signature, signature_sha256,
    certificate_sha256, chain, decision, attestation, verified_at"""


def lock_enrolment(conn: Conn) -> bool:
    """Lock out other enrolments for this session. Returns False if another one runs."""
    row = conn.execute("SELECT pg_try_advisory_lock(hashtextextended('identity-enrolment', 0))").fetchone()
    return row is not None and bool(row[0])


def unlock_enrolment(conn: Conn) -> None:
    """Release the lock of this session."""
    conn.execute("SELECT pg_advisory_unlock_all()")


def _builder(kind: Callable[..., T]) -> Callable[..., T]:
    """Return a function that makes a record of a row's columns, three of which are its evidence."""

    def build(*, verified_at: datetime | None, source: str, checker: str, **columns: Any) -> T:
        evidence = None
        if verified_at is not None:
            evidence = RegisterEvidence(verified_at=verified_at, source=source, checker=checker)
        return kind(**columns, evidence=evidence)

    return build


def _parameters(record: Subscriber | AuthorisedRepresentative) -> dict[str, Any]:
    none = dict.fromkeys(_OF_EVIDENCE.split(", "))
    return {**vars(record), **(none if record.evidence is None else vars(record.evidence))}


def find_subscriber(conn: Conn, subscriber_id: SubscriberId) -> Subscriber | None:
    """Return one subscriber."""
    with conn.cursor(row_factory=kwargs_row(_builder(Subscriber))) as cursor:
        return cursor.execute(f"SELECT {_SUBSCRIBER} FROM subscribers WHERE id = %s", (subscriber_id,)).fetchone()


def lock_subscriber(conn: Conn, subscriber_id: SubscriberId) -> Subscriber | None:
    """Return one subscriber, locked until the end of the transaction."""
    with conn.cursor(row_factory=kwargs_row(_builder(Subscriber))) as cursor:
        return cursor.execute(
            f"SELECT {_SUBSCRIBER} FROM subscribers WHERE id = %s FOR UPDATE", (subscriber_id,)
        ).fetchone()


def save_subscriber(conn: Conn, subscriber: Subscriber, now: datetime) -> None:
    """Enrol a subscriber, or update their record."""
    conn.execute(
        """INSERT INTO subscribers (id, name, name_zh, brn, country, state_or_province, locality, verified_at, source,
                                    checker, enrolled_at)
           VALUES (%(id)s, %(name)s, %(name_zh)s, %(brn)s, %(country)s, %(state_or_province)s, %(locality)s,
                   %(verified_at)s, %(source)s, %(checker)s, %(now)s)
           ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, name_zh = EXCLUDED.name_zh, brn = EXCLUDED.brn,
               country = EXCLUDED.country, state_or_province = EXCLUDED.state_or_province,
               locality = EXCLUDED.locality, verified_at = EXCLUDED.verified_at, source = EXCLUDED.source,
               checker = EXCLUDED.checker""",
        {**_parameters(subscriber), "now": now},
    )


def lock_ar(conn: Conn, ar_id: ARId) -> AuthorisedRepresentative | None:
    """Return an AR, in office or not, locked until the end of the transaction."""
    with conn.cursor(row_factory=kwargs_row(_builder(AuthorisedRepresentative))) as cursor:
        return cursor.execute(
            f"SELECT {_AR} FROM authorised_representatives WHERE id = %s FOR UPDATE", (ar_id,)
        ).fetchone()


def find_acting_ar(conn: Conn, ar_id: ARId) -> AuthorisedRepresentative | None:
    """Return an AR in office."""
    with conn.cursor(row_factory=kwargs_row(_builder(AuthorisedRepresentative))) as cursor:
        return cursor.execute(
            f"SELECT {_AR} FROM authorised_representatives WHERE id = %s AND ended_at IS NULL", (ar_id,)
        ).fetchone()


def find_ar_by_certificate(conn: Conn, certificate_sha256: str) -> AuthorisedRepresentative | None:
    """Return the AR in office with this registered e-Cert; the office cannot end before this transaction does.

    Only the AR's row is locked: ending an office changes that row first and the e-Certs after it.
    """
    columns = ", ".join(f"r.{column}" for column in _AR.split(", "))
    with conn.cursor(row_factory=kwargs_row(_builder(AuthorisedRepresentative))) as cursor:
        return cursor.execute(
            f"""SELECT {columns} FROM ar_certificates AS c JOIN authorised_representatives AS r ON r.id = c.ar_id
                WHERE c.sha256 = %s AND c.withdrawn_at IS NULL AND r.ended_at IS NULL
                FOR SHARE OF r""",
            (certificate_sha256,),
        ).fetchone()


def find_in_office(conn: Conn, subscriber_id: SubscriberId) -> list[AuthorisedRepresentative]:
    """Return a subscriber's ARs in office."""
    with conn.cursor(row_factory=kwargs_row(_builder(AuthorisedRepresentative))) as cursor:
        return cursor.execute(
            f"SELECT {_AR} FROM authorised_representatives WHERE subscriber_id = %s AND ended_at IS NULL ORDER BY id",
            (subscriber_id,),
        ).fetchall()


def find_held(conn: Conn, brns: Sequence[str]) -> list[tuple[AuthorisedRepresentative, bytes]]:
    """Return the registered e-Certs (DER) of the ARs in office of these organisations, each with its AR.

    No such office can end before this transaction does.
    """

    def build(der: bytes, **columns: Any) -> tuple[AuthorisedRepresentative, bytes]:
        return _builder(AuthorisedRepresentative)(**columns), der

    columns = ", ".join(f"r.{column}" for column in _AR.split(", "))
    with conn.cursor(row_factory=kwargs_row(build)) as cursor:
        return cursor.execute(
            f"""SELECT {columns}, c.der FROM subscribers AS s
                JOIN authorised_representatives AS r ON r.subscriber_id = s.id AND r.ended_at IS NULL
                JOIN ar_certificates AS c ON c.ar_id = r.id AND c.withdrawn_at IS NULL
                WHERE s.brn = ANY(%s) ORDER BY r.id FOR SHARE OF r""",
            (list(brns),),
        ).fetchall()


def save_ar(conn: Conn, ar: AuthorisedRepresentative) -> None:
    """Appoint an AR, or update their contact data and the evidence of their authority."""
    conn.execute(
        """INSERT INTO authorised_representatives (id, subscriber_id, name, name_zh, email, address, appointed_at,
                                                   verified_at, source, checker)
           VALUES (%(id)s, %(subscriber_id)s, %(name)s, %(name_zh)s, %(email)s, %(address)s, %(appointed_at)s,
                   %(verified_at)s, %(source)s, %(checker)s)
           ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, name_zh = EXCLUDED.name_zh, email = EXCLUDED.email,
               address = EXCLUDED.address, verified_at = EXCLUDED.verified_at, source = EXCLUDED.source,
               checker = EXCLUDED.checker""",
        _parameters(ar),
    )


def end_ar(conn: Conn, ar_id: ARId, *, reason: str, replaced_by: ARId | None, now: datetime) -> bool:
    """End an AR's office and withdraw their e-Certs, unless that was done."""
    ended = conn.execute(
        """UPDATE authorised_representatives SET ended_at = %s, end_reason = %s, replaced_by = %s
           WHERE id = %s AND ended_at IS NULL""",
        (now, reason, replaced_by, ar_id),
    ).rowcount
    conn.execute("UPDATE ar_certificates SET withdrawn_at = %s WHERE ar_id = %s AND withdrawn_at IS NULL", (now, ar_id))
    return ended == 1


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The AR of an e-Cert, and whether it was registered just now."""

    owner: ARId
    is_new: bool


def add_certificate(conn: Conn, ar_id: ARId, certificate_sha256: str, der: bytes, now: datetime) -> Registration:
    """Register an e-Cert for an AR, unless it is registered."""
    added = conn.execute(
        """INSERT INTO ar_certificates (sha256, ar_id, der, registered_at) VALUES (%s, %s, %s, %s)
           ON CONFLICT (sha256) DO NOTHING""",
        (certificate_sha256, ar_id, der, now),
    ).rowcount
    row = conn.execute("SELECT ar_id FROM ar_certificates WHERE sha256 = %s", (certificate_sha256,)).fetchone()
    assert row is not None
    return Registration(owner=ARId(row[0]), is_new=added == 1)


def find_certificate(conn: Conn, certificate_sha256: str) -> bytes | None:
    """Return a registered e-Cert (DER)."""
    row = conn.execute("SELECT der FROM ar_certificates WHERE sha256 = %s", (certificate_sha256,)).fetchone()
    return None if row is None else bytes(row[0])


def find_attested(conn: Conn, ar_id: ARId, signature_sha256: str) -> Evidence | None:
    """Return the evidence of this AR's same signature."""
    return _find(conn, "ar_id = %s AND signature_sha256 = %s", (ar_id, signature_sha256))


def find_evidence(conn: Conn, evidence_id: uuid.UUID) -> Evidence | None:
    """Return one evidence."""
    return _find(conn, "id = %s", (evidence_id,))


def _find(conn: Conn, condition: str, values: tuple[Any, ...]) -> Evidence | None:
    with conn.cursor(row_factory=kwargs_row(Evidence)) as cursor:
        return cursor.execute(f"SELECT {_EVIDENCE} FROM evidence WHERE {condition}", values).fetchone()


def add_evidence(conn: Conn, evidence: Evidence, crls: Iterable[StoredCRL]) -> bool:
    """Store the evidence, unless the same AR has used the signature, the nonce or the renewal before."""
    added = conn.execute(
        f"""INSERT INTO evidence ({_EVIDENCE}) VALUES (%(id)s, %(renewal_id)s, %(subscriber_id)s, %(ar_id)s, %(nonce)s,
            %(document)s, %(document_sha256)s, %(signature)s, %(signature_sha256)s, %(certificate_sha256)s, %(chain)s,
            %(decision)s, %(attestation)s, %(verified_at)s) ON CONFLICT DO NOTHING""",
        {**vars(evidence), "decision": Jsonb(evidence.decision)},
    ).rowcount
    if added == 0:
        return False
    for crl in crls:
        _link(conn, evidence.id, crl.issuer_sha256, crl.sha256)
    return True


def _link(conn: Conn, evidence_id: uuid.UUID, issuer_sha256: str, crl_sha256: str) -> None:
    conn.execute(
        """INSERT INTO evidence_crls (evidence_id, issuer_sha256, crl_sha256) VALUES (%s, %s, %s)
           ON CONFLICT DO NOTHING""",
        (evidence_id, issuer_sha256, crl_sha256),
    )


def recovered_copies(conn: Conn, *, after: int, limit: int) -> list[tuple[int, str, bytes]]:
    """Return copies of evidence that a recovery of the outbox brought back, oldest first: row, renewal and data."""
    return conn.execute(
        """SELECT id, key, data FROM outbox
           WHERE topic = 'identity.evidence' AND recovery_id IS NOT NULL AND octet_length(data) > 0 AND id > %s
           ORDER BY id LIMIT %s""",
        (after, limit),
    ).fetchall()


def link_crl(conn: Conn, evidence_id: uuid.UUID, issuer_sha256: str, crl_sha256: str) -> bool:
    """Record that a decision was based on this CRL; return False if the database lacks the CRL."""
    found = conn.execute(
        "SELECT 1 FROM crls WHERE issuer_sha256 = %s AND sha256 = %s FOR KEY SHARE", (issuer_sha256, crl_sha256)
    ).fetchone()
    if found is None:
        return False
    _link(conn, evidence_id, issuer_sha256, crl_sha256)
    return True


def find_evidence_crls(conn: Conn, evidence_id: uuid.UUID) -> list[bytes]:
    """Return the CRLs (DER) on which the evidence rests."""
    rows = conn.execute(
        """SELECT c.der FROM evidence_crls AS e
           JOIN crls AS c ON c.issuer_sha256 = e.issuer_sha256 AND c.sha256 = e.crl_sha256
           WHERE e.evidence_id = %s ORDER BY c.sha256""",
        (evidence_id,),
    ).fetchall()
    return [row[0] for row in rows]

"""SQL of intents, certificates and CRLs; takes a connection and never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from psycopg.rows import class_row, kwargs_row

from services.issuance.ca.crl import Revocation, RevocationReason
from services.issuance.domain import Certificate, Intent
from shared.db import Conn
from shared.runtime.pruning import Rule
from shared.vocabulary import ItemId

_INTENT: Final = "item_id, renewal_id, serial, tbs, state, findings, precertificate, scts, certificate_tbs"
_CERTIFICATE: Final = (
    "serial, item_id, renewal_id, spki_sha256, der, sha256, not_before, not_after, issued_at, accepted_at, "
    "revoked_at, revocation_reason, given_out"
)

# Longer than any certificate on the list is valid, plus two years: it may be evidence.
CRLS: Final = Rule(
    table="crls",
    keep=((date(2026, 1, 1), timedelta(days=1130)),),
    statement="""DELETE FROM crls WHERE number IN (
                   SELECT number FROM crls
                   WHERE this_update < %(before)s AND der IS NOT NULL AND number < (SELECT max(number) FROM crls)
                   ORDER BY this_update LIMIT %(limit)s)""",
)
CRL_AGE: Final = """SELECT EXTRACT(EPOCH FROM %(now)s - max(this_update))::float FROM crls WHERE der IS NOT NULL
                    HAVING count(*) > 0"""


@dataclass(frozen=True, kw_only=True)
class CRL:
    """A CRL; signed if `der` is set."""

    number: int
    tbs: bytes
    der: bytes | None
    this_update: datetime


def _intent(findings: list[str], **rest: Any) -> Intent:
    return Intent(findings=tuple(findings), **rest)


def add_intent(conn: Conn, intent: Intent, *, now: datetime, due_at: datetime | None) -> None:
    """Store the bytes to be signed, before the key is used."""
    conn.execute(
        """INSERT INTO intents (item_id, renewal_id, serial, tbs, state, findings, due_at, intended_at)
           VALUES (%(item_id)s, %(renewal_id)s, %(serial)s, %(tbs)s, %(state)s, %(findings)s, %(due_at)s, %(now)s)""",
        vars(intent) | {"findings": list(intent.findings), "due_at": due_at, "now": now},
    )


def claim_due_intent(conn: Conn, now: datetime, lease: timedelta, *, fresh: bool) -> Intent | None:
    """Claim an unsettled intent under a lease: one that was never claimed again (`fresh`), or one that was.

    The lease doubles with each attempt.
    """
    with conn.cursor(row_factory=kwargs_row(_intent)) as cursor:
        return cursor.execute(
            f"""UPDATE intents SET attempts = attempts + 1,
                       due_at = %(now)s + %(lease)s * power(2, LEAST(attempts, 5))
                WHERE serial = (
                    SELECT serial FROM intents
                    WHERE state = 'intended' AND due_at <= %(now)s AND (attempts = 0) = %(fresh)s
                    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING {_INTENT}""",
            {"now": now, "lease": lease, "fresh": fresh},
        ).fetchone()


def find_waiting(conn: Conn, serial: str) -> Intent | None:
    """Return the intent with this serial number if it waits for its certificate."""
    with conn.cursor(row_factory=kwargs_row(_intent)) as cursor:
        return cursor.execute(
            f"SELECT {_INTENT} FROM intents WHERE serial = %s AND state = 'intended'", (serial,)
        ).fetchone()


def all_waiting(conn: Conn) -> list[Intent]:
    """Return all intents that wait for their certificates, in order of renewal."""
    with conn.cursor(row_factory=kwargs_row(_intent)) as cursor:
        return cursor.execute(
            f"SELECT {_INTENT} FROM intents WHERE state = 'intended' ORDER BY renewal_id, item_id"
        ).fetchall()


def end_intent(conn: Conn, item_id: ItemId, *, findings: Sequence[str]) -> Intent | None:
    """End the item's intent that waits for its certificate: that is never signed. Returns it, if there was one."""
    with conn.cursor(row_factory=kwargs_row(_intent)) as cursor:
        return cursor.execute(
            f"""UPDATE intents SET state = 'tombstone', findings = %s, due_at = NULL
                WHERE item_id = %s AND state = 'intended' RETURNING {_INTENT}""",
            (list(findings), item_id),
        ).fetchone()


def save_precertificate(conn: Conn, serial: str, der: bytes, *, now: datetime, lease: timedelta) -> Intent | None:
    """Store the signed precertificate, unless one is stored, and renew the lease.

    Returns the intent with the stored one; None if it waits for no certificate any more.
    """
    return _save_step(conn, "precertificate", serial, der, now, lease)


def save_certificate_tbs(conn: Conn, serial: str, tbs: bytes, *, now: datetime, lease: timedelta) -> Intent | None:
    """Store the certificate's bytes before they are signed, unless some are stored, and renew the lease.

    Returns the intent with the stored ones; None if it waits for no certificate any more.
    """
    return _save_step(conn, "certificate_tbs", serial, tbs, now, lease)


def _save_step(conn: Conn, column: str, serial: str, content: bytes, now: datetime, lease: timedelta) -> Intent | None:
    with conn.cursor(row_factory=kwargs_row(_intent)) as cursor:
        return cursor.execute(
            f"""UPDATE intents SET {column} = COALESCE({column}, %(content)s),
                       due_at = %(now)s + %(lease)s * power(2, LEAST(attempts, 5))
                WHERE serial = %(serial)s AND state = 'intended' RETURNING {_INTENT}""".encode(),
            {"content": content, "serial": serial, "now": now, "lease": lease},
        ).fetchone()


def save_scts(conn: Conn, serial: str, scts: bytes) -> None:
    """Store the SCTs collected so far, for the next attempt."""
    conn.execute("UPDATE intents SET scts = %s WHERE serial = %s AND state = 'intended'", (scts, serial))


def hasten_intents(conn: Conn, spki_sha256: bytes, now: datetime) -> None:
    """Have the waiting intents with this key validated again now: their precertificates must be revoked at once."""
    conn.execute(
        """UPDATE intents SET due_at = LEAST(intents.due_at, %s) FROM orders
           WHERE orders.item_id = intents.item_id AND orders.spki_sha256 = %s AND intents.state = 'intended'""",
        (now, spki_sha256),
    )


def save_signed(conn: Conn, serial: str) -> bool:
    """Record that the intent has become a certificate. Returns False if it had before, or was ended."""
    changed = conn.execute(
        "UPDATE intents SET state = 'signed', due_at = NULL WHERE serial = %s AND state = 'intended'", (serial,)
    )
    return changed.rowcount == 1


def is_ended(conn: Conn, serial: str) -> bool:
    """Return whether the intent was ended without a certificate."""
    row = conn.execute("SELECT 1 FROM intents WHERE serial = %s AND state = 'tombstone'", (serial,)).fetchone()
    return row is not None


def has_signed(conn: Conn, serial: str, tbs: bytes) -> bool:
    """Return whether these bytes are a certificate in the database or the precertificate of one, or will be."""
    row = conn.execute(
        """SELECT 1 FROM intents WHERE serial = %(serial)s AND %(tbs)s IN (tbs, certificate_tbs)
           AND (state <> 'tombstone' OR EXISTS (SELECT 1 FROM certificates WHERE serial = %(serial)s))""",
        {"serial": serial, "tbs": tbs},
    ).fetchone()
    return row is not None


def is_serial_used(conn: Conn, serial: str) -> bool:
    """Return whether a certificate has this serial number, or may get it."""
    row = conn.execute(
        """SELECT 1 WHERE EXISTS (SELECT 1 FROM certificates WHERE serial = %(serial)s)
                       OR EXISTS (SELECT 1 FROM intents WHERE serial = %(serial)s AND state <> 'tombstone')""",
        {"serial": serial},
    ).fetchone()
    return row is not None


def add_certificate(conn: Conn, certificate: Certificate) -> None:
    """Store an issued certificate."""
    conn.execute(
        """INSERT INTO certificates (serial, item_id, renewal_id, spki_sha256, der, sha256, not_before, not_after,
                                     issued_at, given_out)
           VALUES (%(serial)s, %(item_id)s, %(renewal_id)s, %(spki_sha256)s, %(der)s, %(sha256)s, %(not_before)s,
                   %(not_after)s, %(issued_at)s, %(given_out)s)""",
        vars(certificate),
    )


def find_certificates(conn: Conn, item_ids: Sequence[ItemId]) -> dict[ItemId, Certificate]:
    """Return the existing certificates of these orders, without those that nobody got."""
    with conn.cursor(row_factory=class_row(Certificate)) as cursor:
        found = cursor.execute(
            f"SELECT {_CERTIFICATE} FROM certificates WHERE item_id = ANY(%s) AND given_out", (list(item_ids),)
        ).fetchall()
    return {certificate.item_id: certificate for certificate in found}


def lock_certificate(conn: Conn, serial: str) -> Certificate | None:
    """Return a certificate by serial, locked; take its issuance lock first."""
    with conn.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(
            f"SELECT {_CERTIFICATE} FROM certificates WHERE serial = %s FOR UPDATE", (serial,)
        ).fetchone()


def find_by_serial(conn: Conn, serial: str) -> Certificate | None:
    """Return a certificate by serial, without a lock."""
    with conn.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(f"SELECT {_CERTIFICATE} FROM certificates WHERE serial = %s", (serial,)).fetchone()


def find_of_key(conn: Conn, spki_sha256: bytes, now: datetime) -> list[Certificate]:
    """Return the certificates with this key that a CRL can list, in order of renewal, so that two lockers never
    deadlock.
    """
    with conn.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(
            f"""SELECT {_CERTIFICATE} FROM certificates
                WHERE spki_sha256 = %s AND (revoked_at IS NOT NULL OR not_after >= %s) ORDER BY renewal_id, serial""",
            (spki_sha256, now),
        ).fetchall()


def newest_certificate(conn: Conn) -> bytes | None:
    """Return the certificate that was issued last."""
    row = conn.execute("SELECT der FROM certificates ORDER BY issued_at DESC, serial DESC LIMIT 1").fetchone()
    return None if row is None else bytes(row[0])


def find_intended_at(conn: Conn, serial: str) -> datetime | None:
    """Return when the certificate's names were examined and its bytes were stored."""
    row = conn.execute("SELECT intended_at FROM intents WHERE serial = %s", (serial,)).fetchone()
    return None if row is None else row[0]


def serials_issued(conn: Conn, since: datetime, until: datetime) -> list[str]:
    """Return the serial numbers of all certificates issued in a period, also of those that nobody got."""
    rows = conn.execute(
        "SELECT serial FROM certificates WHERE issued_at >= %s AND issued_at < %s ORDER BY issued_at, serial",
        (since, until),
    ).fetchall()
    return [str(row[0]) for row in rows]


def save_accepted(conn: Conn, serial: str, now: datetime) -> None:
    """Record the AR's acceptance of the certificate."""
    conn.execute("UPDATE certificates SET accepted_at = %s WHERE serial = %s", (now, serial))


def save_revoked(conn: Conn, serial: str, reason: RevocationReason, revoked_at: datetime) -> None:
    """Record a revocation, or a graver reason; the next CRL lists it."""
    conn.execute(
        "UPDATE certificates SET revoked_at = %s, revocation_reason = %s, listed_in = NULL WHERE serial = %s",
        (revoked_at, reason.value, serial),
    )


def lock_series(conn: Conn) -> int:
    """Lock the CRL series. Returns its last number."""
    row = conn.execute("SELECT last_number FROM crl_series WHERE id = 1 FOR UPDATE").fetchone()
    assert row is not None
    return int(row[0])


def find_unsigned_crl(conn: Conn) -> CRL | None:
    """Return a stored CRL without a signature; call it under the series' lock."""
    with conn.cursor(row_factory=class_row(CRL)) as cursor:
        return cursor.execute(
            "SELECT number, tbs, der, this_update FROM crls WHERE der IS NULL ORDER BY number LIMIT 1"
        ).fetchone()


def latest_crl(conn: Conn) -> CRL | None:
    """Return the newest signed CRL."""
    with conn.cursor(row_factory=class_row(CRL)) as cursor:
        return cursor.execute(
            "SELECT number, tbs, der, this_update FROM crls WHERE der IS NOT NULL ORDER BY number DESC LIMIT 1"
        ).fetchone()


def crl_number_at(conn: Conn, moment: datetime) -> int | None:
    """Return the number of the newest CRL at this time, signed or not."""
    row = conn.execute(
        "SELECT number FROM crls WHERE this_update <= %s ORDER BY this_update DESC LIMIT 1", (moment,)
    ).fetchone()
    return None if row is None else int(row[0])


def has_unlisted_revocation(conn: Conn) -> bool:
    """Return whether a revocation is not on any CRL yet."""
    row = conn.execute(
        """SELECT 1 WHERE EXISTS (SELECT 1 FROM certificates WHERE revoked_at IS NOT NULL AND listed_in IS NULL)
                       OR EXISTS (SELECT 1 FROM stray_certificates
                                  WHERE revoked_at IS NOT NULL AND listed_in IS NULL)"""
    ).fetchone()
    return row is not None


def list_unlisted(conn: Conn, number: int) -> None:
    """Record that CRL `number` lists all unlisted revocations; call it before `revocations`.

    A revocation between the two calls is on this CRL and on the next. Locks in the order of those who revoke several.
    """
    conn.execute(
        """UPDATE certificates AS c SET listed_in = %s FROM (
               SELECT serial FROM certificates WHERE revoked_at IS NOT NULL AND listed_in IS NULL
               ORDER BY renewal_id, serial FOR UPDATE) AS unlisted
           WHERE c.serial = unlisted.serial""",
        (number,),
    )
    conn.execute(
        """UPDATE stray_certificates AS c SET listed_in = %s FROM (
               SELECT serial FROM stray_certificates WHERE revoked_at IS NOT NULL AND listed_in IS NULL
               ORDER BY serial FOR UPDATE) AS unlisted
           WHERE c.serial = unlisted.serial""",
        (number,),
    )


def revocations(conn: Conn, number: int, last_update: datetime | None) -> list[Revocation]:
    """Return the entries of CRL `number`: an entry stays until a CRL made after the certificate's end has listed it.

    Precertificate and certificate share a serial number, and one entry.
    """
    rows = conn.execute(
        """SELECT serial, revoked_at, revocation_reason, not_after FROM certificates
           WHERE revoked_at IS NOT NULL
             AND (listed_in IS NULL OR listed_in >= %(number)s OR %(last)s::timestamptz IS NULL
                  OR not_after >= %(last)s)
           UNION ALL
           SELECT serial, revoked_at, revocation_reason, not_after FROM stray_certificates AS s
           WHERE revoked_at IS NOT NULL
             AND (listed_in IS NULL OR listed_in >= %(number)s OR %(last)s::timestamptz IS NULL
                  OR not_after >= %(last)s)
             AND NOT EXISTS (SELECT 1 FROM certificates AS c WHERE c.serial = s.serial AND c.revoked_at IS NOT NULL)""",
        {"number": number, "last": last_update},
    ).fetchall()
    return [
        Revocation(serial=int(row[0], 16), revoked_at=row[1], reason=RevocationReason(row[2]), not_after=row[3])
        for row in rows
    ]


def add_crl(conn: Conn, number: int, tbs: bytes, *, this_update: datetime) -> None:
    """Store the bytes of a CRL before they are signed."""
    conn.execute("UPDATE crl_series SET last_number = %s WHERE id = 1", (number,))
    conn.execute("INSERT INTO crls (number, tbs, this_update) VALUES (%s, %s, %s)", (number, tbs, this_update))


def save_crl(conn: Conn, number: int, der: bytes) -> bool:
    """Store the signed CRL. Returns False if it was signed before."""
    return conn.execute("UPDATE crls SET der = %s WHERE number = %s AND der IS NULL", (der, number)).rowcount == 1

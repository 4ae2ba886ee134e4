"""SQL of CRLs: their sources, and the newest of each list."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from psycopg.rows import kwargs_row

from shared.db import Conn
from shared.pki.crls import StoredCRL


def _crl(number: Decimal, **columns: Any) -> StoredCRL:
    """Return a row as a StoredCRL; its number may exceed every integer type of the database."""
    return StoredCRL(number=int(number), **columns)


def find_crls(conn: Conn, issuers: Sequence[str]) -> dict[str, list[StoredCRL]]:
    """Return the newest CRLs of these issuers, by issuer. They cannot be pruned before this transaction ends."""
    with conn.cursor(row_factory=kwargs_row(_crl)) as cursor:
        found = cursor.execute(
            """SELECT c.issuer_sha256, c.scope, c.number, c.this_update, c.next_update, c.sha256, c.der
               FROM crl_heads AS h JOIN crls AS c ON c.issuer_sha256 = h.issuer_sha256 AND c.sha256 = h.sha256
               WHERE h.issuer_sha256 = ANY(%s) FOR KEY SHARE OF c""",
            (list(issuers),),
        ).fetchall()
    by_issuer: dict[str, list[StoredCRL]] = {}
    for crl in found:
        by_issuer.setdefault(crl.issuer_sha256, []).append(crl)
    return by_issuer


def add_crl(conn: Conn, crl: StoredCRL, now: datetime, *, usable_until: datetime) -> bool:
    """Store the newest CRL of a list. Returns False if it is older than the stored one."""
    moved = conn.execute(
        """INSERT INTO crl_heads (issuer_sha256, scope, number, this_update, sha256, usable_until)
           VALUES (%(issuer_sha256)s, %(scope)s, %(number)s, %(this_update)s, %(sha256)s, %(usable_until)s)
           ON CONFLICT (issuer_sha256, scope) DO UPDATE
           SET number = EXCLUDED.number, this_update = EXCLUDED.this_update, sha256 = EXCLUDED.sha256,
               usable_until = EXCLUDED.usable_until
           WHERE (crl_heads.number, crl_heads.this_update) <= (EXCLUDED.number, EXCLUDED.this_update)""",
        {**vars(crl), "usable_until": usable_until},
    ).rowcount
    if moved == 0:
        return False
    keep_crl(conn, crl, now)
    return True


def keep_crl(conn: Conn, crl: StoredCRL, now: datetime) -> None:
    """Keep a CRL, newest or not, unless it is there."""
    conn.execute(
        """INSERT INTO crls (issuer_sha256, sha256, scope, number, this_update, next_update, der, accepted_at)
           VALUES (%(issuer_sha256)s, %(sha256)s, %(scope)s, %(number)s, %(this_update)s, %(next_update)s, %(der)s,
                   %(now)s)
           ON CONFLICT (issuer_sha256, sha256) DO NOTHING""",
        {**vars(crl), "now": now},
    )


# For the gauges. Delta lists clear no certificate, so they have no expiry. A CA without a list counts as long expired.
THIS_UPDATES: Final = """SELECT p.name, h.scope, min(extract(epoch FROM h.this_update))::float
                         FROM pinned_issuers AS p JOIN crl_heads AS h USING (issuer_sha256)
                         WHERE h.scope NOT LIKE 'delta %%' GROUP BY p.name, h.scope"""
USABLE_UNTIL: Final = """SELECT p.name, COALESCE(h.scope, 'none'),
                                COALESCE(min(extract(epoch FROM h.usable_until)), 0)::float
                         FROM pinned_issuers AS p LEFT JOIN crl_heads AS h
                              ON h.issuer_sha256 = p.issuer_sha256 AND h.scope NOT LIKE 'delta %%'
                         GROUP BY p.name, h.scope"""


def pin_issuers(conn: Conn, names: Mapping[str, str]) -> None:
    """Store the CAs whose lists are needed: their names by their ids."""
    conn.execute("DELETE FROM pinned_issuers WHERE issuer_sha256 <> ALL(%s)", (list(names),))
    conn.execute(
        """INSERT INTO pinned_issuers (issuer_sha256, name) SELECT * FROM unnest(%s::text[], %s::text[])
           ON CONFLICT (issuer_sha256) DO UPDATE SET name = EXCLUDED.name""",
        (list(names.keys()), list(names.values())),
    )


def prune_crls(conn: Conn, before: datetime) -> int:
    """Delete superseded CRLs without evidence, and expired ones of CAs that are no longer pinned."""
    conn.execute(
        """DELETE FROM crl_heads AS h USING crls AS c
           WHERE c.issuer_sha256 = h.issuer_sha256 AND c.sha256 = h.sha256 AND c.next_update < %s
                 AND NOT EXISTS (SELECT 1 FROM pinned_issuers AS p WHERE p.issuer_sha256 = h.issuer_sha256)""",
        (before,),
    )
    return conn.execute(
        """DELETE FROM crls AS c WHERE c.accepted_at < %s
           AND NOT EXISTS (SELECT 1 FROM crl_heads AS h
                           WHERE h.issuer_sha256 = c.issuer_sha256 AND h.sha256 = c.sha256)
           AND NOT EXISTS (SELECT 1 FROM evidence_crls AS e
                           WHERE e.issuer_sha256 = c.issuer_sha256 AND e.crl_sha256 = c.sha256)""",
        (before,),
    ).rowcount


def save_sources(conn: Conn, sources: Sequence[str], now: datetime) -> None:
    """Store the configured sources and make all of them due: another CA may be pinned now."""
    conn.execute("DELETE FROM crl_sources WHERE source <> ALL(%s)", (list(sources),))
    conn.execute(
        """INSERT INTO crl_sources (source, due_at) SELECT unnest(%s::text[]), %s
           ON CONFLICT (source) DO UPDATE SET due_at = LEAST(crl_sources.due_at, EXCLUDED.due_at)""",
        (list(sources), now),
    )


def claim_due_source(conn: Conn, now: datetime, lease: timedelta) -> str | None:
    """Claim a due source under a lease."""
    row = conn.execute(
        """UPDATE crl_sources SET due_at = %s WHERE source = (
               SELECT source FROM crl_sources WHERE due_at <= %s ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING source""",
        (now + lease, now),
    ).fetchone()
    return None if row is None else str(row[0])


def settle_source(conn: Conn, source: str, *, due_at: datetime, now: datetime, error: str | None) -> None:
    """Record the outcome of reading a source, and when it is due again."""
    conn.execute(
        """UPDATE crl_sources SET due_at = %s, last_error = %s,
               last_success_at = CASE WHEN %s::text IS NULL THEN %s ELSE last_success_at END
           WHERE source = %s""",
        (due_at, error, error, now, source),
    )

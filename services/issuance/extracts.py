"""Extract of issuance's own facts: issuance locks, orders, PINs and certificates."""

from typing import Final

from shared.security.signed_extract import Table, claims_sha256

TABLES: Final = (
    Table(
        name="gate",
        query="SELECT renewal_id, withheld_at FROM gates ORDER BY renewal_id",
    ),
    Table(
        name="renewal",
        query="""SELECT renewal_id AS id, encode(sha256(convert_to(document, 'UTF8')), 'hex') AS document_sha256,
                        encode(sha256(convert_to(attestation, 'UTF8')), 'hex') AS attestation_sha256,
                        """
        + claims_sha256("receipt")
        + """ AS receipt_sha256
                 FROM renewals ORDER BY renewal_id""",
    ),
    Table(
        name="order",
        query="""SELECT item_id AS id, renewal_id, state,
                        encode(sha256(convert_to(obstacles::text, 'UTF8')), 'hex') AS obstacles_sha256
                 FROM orders ORDER BY item_id""",
    ),
    Table(
        name="pin",
        query="""SELECT p.envelope_id AS id, o.renewal_id, p.item_id, p.state, p.planned_at
                 FROM pins AS p JOIN orders AS o ON o.item_id = p.item_id ORDER BY p.envelope_id""",
    ),
    Table(
        name="certificate",
        query="SELECT serial, item_id, renewal_id, issued_at, revoked_at FROM certificates ORDER BY serial",
    ),
)

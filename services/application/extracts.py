"""Extract of application's own facts: renewals with their items and refunds."""

from typing import Final

from shared.security.signed_extract import Table, claims_sha256

TABLES: Final = (
    Table(
        name="renewal",
        query="""SELECT id, state, amount_minor, captured_minor, document_sha256, submitted_at, ended_at,
                        encode(sha256(convert_to(attestation, 'UTF8')), 'hex') AS attestation_sha256,
                        """
        + claims_sha256("receipt")
        + """ AS receipt_sha256
                 FROM renewals WHERE submitted_at IS NOT NULL ORDER BY id""",
    ),
    Table(
        name="item",
        query="""SELECT i.id, i.renewal_id, i.state, i.serial, i.amount_minor,
                        encode(sha256(convert_to(i.obstacles::text, 'UTF8')), 'hex') AS obstacles_sha256
                 FROM items AS i JOIN renewals AS r ON r.id = i.renewal_id
                 WHERE r.submitted_at IS NOT NULL ORDER BY i.id""",
    ),
    Table(
        name="refund",
        query="SELECT id, renewal_id, item_id, amount_minor, due_at, refunded_at FROM refunds ORDER BY id",
    ),
)

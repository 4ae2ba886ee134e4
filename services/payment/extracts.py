"""Extract of payment's own facts: payments, checkouts, refunds and the ledger."""

from typing import Final

from shared.security.signed_extract import Table, claims_sha256

TABLES: Final = (
    Table(
        name="payment",
        query="""SELECT id, renewal_id, state, amount_minor, document_sha256, captured_at,
                        """
        + claims_sha256("receipt")
        + """ AS receipt_sha256
                 FROM payments ORDER BY id""",
    ),
    Table(
        name="checkout",
        query="SELECT id, payment_id FROM checkouts ORDER BY id",
    ),
    Table(
        name="refund",
        query="""SELECT id, asked_as, payment_id, renewal_id, item_id, amount_minor, state, created_at, refunded_at
                 FROM refunds ORDER BY id""",
    ),
    Table(
        name="booking",
        query="SELECT id, payment_id, refund_id, amount_minor, booked_at FROM ledger ORDER BY id",
    ),
)

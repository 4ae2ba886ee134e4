"""Kinds of divergence between provider, payment and application: captures, refunds, amounts.

The placeholders of the queries are described in kinds.py.
"""

from typing import Final

from backoffice.reconciliation.kind import kind

MONEY: Final = (
    kind(
        "capture-unknown",
        "the provider captured money under a reference that payment does not know",
        """SELECT NULL, 'reference ' || f.reference || ', ' || f.amount_minor FROM effect AS f
           LEFT JOIN payment_checkout AS c ON c.id = f.reference WHERE f.kind = 'capture' AND c.id IS NULL""",
        "provider",
    ),
    kind(
        "capture-not-recorded",
        "the provider captured money that payment does not count as captured",
        """SELECT p.renewal_id, 'checkout ' || c.id || ', the payment is ' || p.state FROM effect AS f
           JOIN payment_checkout AS c ON c.id = f.reference JOIN payment_payment AS p ON p.id = c.payment_id
           WHERE f.kind = 'capture' AND p.state <> 'captured'""",
        "provider",
    ),
    kind(
        "capture-not-at-provider",
        "payment counts money as captured that the provider does not, or not in this amount",
        """SELECT p.renewal_id, p.amount_minor || ', at the provider '
                  || COALESCE((SELECT sum(f.amount_minor) FROM effect AS f JOIN payment_checkout AS c
                               ON c.id = f.reference WHERE f.kind = 'capture' AND c.payment_id = p.id), 0) AS said
           FROM payment_payment AS p WHERE p.captured_at < :horizon AND p.amount_minor <> COALESCE(
               (SELECT sum(f.amount_minor) FROM effect AS f JOIN payment_checkout AS c ON c.id = f.reference
                WHERE f.kind = 'capture' AND c.payment_id = p.id), 0)""",
        "provider",
    ),
    kind(
        "refund-twice",
        "money went back twice for one item or renewal, under two references or under one",
        """SELECT r.renewal_id, count(*) || ' refunds of ' || COALESCE('item ' || r.item_id, 'the whole renewal')
           FROM payment_refund AS r LEFT JOIN effect AS f ON f.kind = 'refund' AND f.reference = r.id
           WHERE r.state = 'refunded' OR f.kind IS NOT NULL
           GROUP BY r.payment_id, r.renewal_id, r.item_id HAVING count(*) > 1""",
    ),
    kind(
        "refund-exceeds-capture",
        "more went back than had been captured",
        """SELECT p.renewal_id, 'captured ' || p.amount_minor || ', refunded ' || sum(r.amount_minor)
           FROM payment_payment AS p JOIN payment_refund AS r ON r.payment_id = p.id
           WHERE r.state = 'refunded' GROUP BY p.id HAVING sum(r.amount_minor) > p.amount_minor""",
    ),
    kind(
        "refund-unknown",
        "the provider made a refund that payment does not know, or not in this amount",
        """SELECT r.renewal_id, 'reference ' || f.reference || ', ' || f.amount_minor FROM effect AS f
           LEFT JOIN payment_refund AS r ON r.id = f.reference
           WHERE f.kind = 'refund' AND (r.id IS NULL OR r.amount_minor <> f.amount_minor)""",
        "provider",
    ),
    kind(
        "refund-not-at-provider",
        "payment says that money went back, the provider does not",
        """SELECT r.renewal_id, 'refund ' || r.id || ', ' || r.amount_minor FROM payment_refund AS r
           WHERE r.refunded_at < :horizon
             AND NOT EXISTS (SELECT 1 FROM effect AS f WHERE f.kind = 'refund' AND f.reference = r.id)""",
        "provider",
    ),
    kind(
        "refund-not-made",
        "application announced a refund that payment does not know, has in another amount, or has not made",
        """SELECT a.renewal_id, 'refund ' || a.id || ', ' || COALESCE(r.state, 'unknown to payment')
           FROM application_refund AS a LEFT JOIN payment_refund AS r
             ON r.id = COALESCE((SELECT q.id FROM payment_refund AS q WHERE q.asked_as = a.id), a.id)
           WHERE a.due_at < :horizon AND (r.id IS NULL OR r.amount_minor <> a.amount_minor OR r.state <> 'refunded')""",
    ),
    kind(
        "refund-not-due",
        "payment has a refund that application never announced",
        """SELECT r.renewal_id, 'refund ' || r.id || ', ' || r.amount_minor FROM payment_refund AS r
           LEFT JOIN application_refund AS a ON a.id IN (r.id, r.asked_as)
           WHERE a.id IS NULL AND r.created_at < :horizon""",
    ),
    kind(
        "ledger-differs",
        "the ledger's sums are not those of the payments and refunds",
        """SELECT p.renewal_id, 'booked in ' || booked.captures || ', out ' || booked.refunds
           FROM payment_payment AS p JOIN (
               SELECT q.id,
                      (SELECT COALESCE(sum(b.amount_minor), 0) FROM payment_booking AS b
                       WHERE b.payment_id = q.id AND b.refund_id IS NULL) AS captures,
                      (SELECT COALESCE(sum(b.amount_minor), 0) FROM payment_booking AS b
                       WHERE b.payment_id = q.id AND b.refund_id IS NOT NULL) AS refunds
               FROM payment_payment AS q) AS booked ON booked.id = p.id
           WHERE booked.captures <> CASE WHEN p.state = 'captured' THEN p.amount_minor ELSE 0 END
              OR booked.refunds <> (SELECT COALESCE(sum(r.amount_minor), 0) FROM payment_refund AS r
                                    WHERE r.payment_id = p.id AND r.state = 'refunded')""",
    ),
    kind(
        "payment-differs",
        "application and payment disagree about what was captured for a renewal",
        """SELECT a.id, 'application ' || COALESCE(a.captured_minor, 0) || ', payment '
                  || CASE WHEN p.state = 'captured' THEN p.amount_minor ELSE 0 END
           FROM application_renewal AS a LEFT JOIN payment_payment AS p ON p.renewal_id = a.id
           WHERE a.submitted_at < :horizon AND (p.captured_at IS NULL OR p.captured_at < :horizon)
             AND COALESCE(a.captured_minor, 0) <> CASE WHEN p.state = 'captured' THEN p.amount_minor ELSE 0 END
           UNION ALL
           SELECT p.renewal_id, 'application knows no submitted renewal, payment ' || p.amount_minor
           FROM payment_payment AS p LEFT JOIN application_renewal AS a ON a.id = p.renewal_id
           WHERE a.id IS NULL AND p.captured_at < :horizon""",
    ),
)

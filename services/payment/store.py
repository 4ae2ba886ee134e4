"""SQL of payments and checkouts; refunds and ledger are in refund_store.py. Never commits."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from psycopg.rows import kwargs_row

from services.payment.domain import (
    Checkout,
    CheckoutId,
    CheckoutState,
    Decline,
    Payment,
    PaymentId,
    PaymentState,
)
from services.payment.webhook import Webhook
from shared.db import Conn
from shared.runtime.pruning import Rule
from shared.vocabulary import RenewalId

PAYMENT: Final = (
    "id, renewal_id, reference, subscriber_id, ar_id, payer_name, amount_minor, currency, document_sha256, pay_before,"
    " state, closing_reason, captured_at, provider_reference, receipt, polls, due_at, leased_until, traceparent"
)
_CHECKOUT: Final = "id, payment_id, state, amount_minor, currency, description, return_url, expires_at, url"


WEBHOOKS: Final = Rule(
    table="provider_webhooks",
    keep=((date(2026, 1, 1), timedelta(days=90)),),
    statement="""DELETE FROM provider_webhooks WHERE id IN (
                   SELECT id FROM provider_webhooks WHERE received_at < %(before)s
                   ORDER BY received_at LIMIT %(limit)s)""",
)
OLDEST_DUE: Final = """SELECT 'capture', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float FROM payments
                       WHERE due_at <= %(now)s AND (leased_until IS NULL OR leased_until <= %(now)s)
                       UNION ALL
                       SELECT 'refund', COALESCE(EXTRACT(EPOCH FROM %(now)s - min(due_at)), 0)::float FROM refunds
                       WHERE due_at <= %(now)s"""


def payment_row(*, state: str, **columns: Any) -> Payment:
    """Return a row as a dataclass."""
    return Payment(state=PaymentState(state), **columns)


def _checkout_row(*, state: str, **columns: Any) -> Checkout:
    return Checkout(state=CheckoutState(state), **columns)


def add_payment(conn: Conn, payment: Payment, *, now: datetime) -> bool:
    """Insert the payment of a renewal, unless it exists."""
    changed = conn.execute(
        """INSERT INTO payments (id, renewal_id, reference, subscriber_id, ar_id, payer_name, amount_minor,
                                 currency, document_sha256, pay_before, state, traceparent, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (renewal_id) DO NOTHING""",
        (
            payment.id,
            payment.renewal_id,
            payment.reference,
            payment.subscriber_id,
            payment.ar_id,
            payment.payer_name,
            payment.amount_minor,
            payment.currency,
            payment.document_sha256,
            payment.pay_before,
            payment.state,
            payment.traceparent,
            now,
        ),
    )
    return changed.rowcount == 1


def find_payment(conn: Conn, renewal_id: RenewalId) -> Payment | None:
    """Return the payment of a renewal, without a lock."""
    with conn.cursor(row_factory=kwargs_row(payment_row)) as cursor:
        return cursor.execute(f"SELECT {PAYMENT} FROM payments WHERE renewal_id = %s", (renewal_id,)).fetchone()


def lock_payment(conn: Conn, renewal_id: RenewalId) -> Payment | None:
    """Return the payment of a renewal, locked."""
    with conn.cursor(row_factory=kwargs_row(payment_row)) as cursor:
        return cursor.execute(
            f"SELECT {PAYMENT} FROM payments WHERE renewal_id = %s FOR UPDATE", (renewal_id,)
        ).fetchone()


def save_state(conn: Conn, payment: Payment, *, due_at: datetime | None) -> None:
    """Store the state; `due_at` is the time of the next query of the provider. A running lease stays."""
    conn.execute(
        "UPDATE payments SET state = %s, closing_reason = %s, due_at = %s, hinted = false, polls = 0 WHERE id = %s",
        (payment.state, payment.closing_reason, due_at, payment.id),
    )


def hint(conn: Conn, payment_id: PaymentId, *, now: datetime) -> None:
    """Make this payment due now, before all routine queries."""
    conn.execute("UPDATE payments SET due_at = %s, hinted = true, polls = 0 WHERE id = %s", (now, payment_id))


def save_capture(conn: Conn, payment: Payment) -> None:
    """Store the capture; no further query is due."""
    conn.execute(
        """UPDATE payments SET state = %s, captured_at = %s, provider_reference = %s, receipt = %s, due_at = NULL,
               hinted = false
           WHERE id = %s""",
        (payment.state, payment.captured_at, payment.provider_reference, payment.receipt, payment.id),
    )


def claim_due_payment(conn: Conn, *, now: datetime, lease: timedelta) -> Payment | None:
    """Claim a payment that is due for a query of the provider, under a lease.

    Hinted payments come first: an AR who has just paid must not wait behind a thousand overdue queries. Payments whose
    last attempt failed come last, and their lease doubles each time.
    """
    with conn.cursor(row_factory=kwargs_row(payment_row)) as cursor:
        return cursor.execute(
            f"""UPDATE payments SET attempts = attempts + 1,
                       leased_until = %(now)s + %(lease)s * power(2, LEAST(attempts, 5))
                WHERE id = (
                    SELECT id FROM payments
                    WHERE due_at <= %(now)s AND (leased_until IS NULL OR leased_until <= %(now)s)
                    ORDER BY attempts > 0, hinted DESC, due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING {PAYMENT}""",
            {"now": now, "lease": lease},
        ).fetchone()


def release(conn: Conn, claimed: Payment, *, due_at: datetime | None) -> None:
    """Release our lease once an outcome is recorded, and set the next query, unless the payment
    became due meanwhile.
    """
    conn.execute(
        """UPDATE payments SET leased_until = NULL, attempts = 0, polls = polls + 1,
                  hinted = hinted AND due_at <> %(was)s,
                  due_at = CASE WHEN due_at = %(was)s THEN %(due_at)s ELSE due_at END
           WHERE id = %(id)s AND leased_until = %(until)s""",
        {"was": claimed.due_at, "due_at": due_at, "id": claimed.id, "until": claimed.leased_until},
    )


def make_due(conn: Conn, checkout_id: CheckoutId, *, now: datetime) -> None:
    """Make the payment of this checkout due now, if it can still change anything."""
    conn.execute(
        """UPDATE payments SET due_at = %s, hinted = true, polls = 0 FROM checkouts
           WHERE checkouts.id = %s AND payments.id = checkouts.payment_id
             AND payments.state IN ('awaiting-checkout', 'open', 'closing')""",
        (now, checkout_id),
    )


def add_checkout(conn: Conn, checkout: Checkout, *, now: datetime) -> None:
    """Insert the intent to open a checkout."""
    conn.execute(
        """INSERT INTO checkouts (id, payment_id, state, amount_minor, currency, description, return_url, expires_at,
                                  created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            checkout.id,
            checkout.payment_id,
            checkout.state,
            checkout.amount_minor,
            checkout.currency,
            checkout.description,
            checkout.return_url,
            checkout.expires_at,
            now,
        ),
    )


def count_checkouts(conn: Conn, payment_id: PaymentId) -> int:
    """Return the number of a payment's checkouts, including the live one."""
    row = conn.execute("SELECT count(*) FROM checkouts WHERE payment_id = %s", (payment_id,)).fetchone()
    assert row is not None
    return int(row[0])


def find_live_checkout(conn: Conn, payment_id: PaymentId) -> Checkout | None:
    """Return the one checkout of a payment that has not ended."""
    with conn.cursor(row_factory=kwargs_row(_checkout_row)) as cursor:
        return cursor.execute(
            f"SELECT {_CHECKOUT} FROM checkouts WHERE payment_id = %s AND state <> 'ended'", (payment_id,)
        ).fetchone()


def save_checkout_opened(conn: Conn, checkout_id: CheckoutId, url: str) -> bool:
    """Record the provider's answer to an intent. Returns False if it is recorded already."""
    changed = conn.execute(
        "UPDATE checkouts SET state = 'open', url = %s WHERE id = %s AND state = 'intended'", (url, checkout_id)
    )
    return changed.rowcount == 1


def save_checkout_ended(conn: Conn, checkout_id: CheckoutId) -> None:
    """Record that the checkout has ended."""
    conn.execute("UPDATE checkouts SET state = 'ended' WHERE id = %s", (checkout_id,))


def use_authorisation(conn: Conn, *, jti: str, renewal_id: RenewalId, idempotency_key: str, now: datetime) -> bool:
    """Consume an authorisation. Returns False if another request has consumed it."""
    conn.execute(
        """INSERT INTO checkout_authorisations (jti, renewal_id, idempotency_key, used_at) VALUES (%s, %s, %s, %s)
           ON CONFLICT (jti) DO NOTHING""",
        (jti, renewal_id, idempotency_key, now),
    )
    return (
        conn.execute(
            "SELECT 1 FROM checkout_authorisations WHERE jti = %s AND renewal_id = %s AND idempotency_key = %s",
            (jti, renewal_id, idempotency_key),
        ).fetchone()
        is not None
    )


def add_decline(conn: Conn, payment_id: PaymentId, decline: Decline, *, now: datetime) -> bool:
    """Record a declined attempt. Returns False if it is recorded already."""
    changed = conn.execute(
        """INSERT INTO declines (id, payment_id, reason, recorded_at) VALUES (%s, %s, %s, %s)
           ON CONFLICT (id) DO NOTHING""",
        (decline.id, payment_id, decline.reason, now),
    )
    return changed.rowcount == 1


def add_webhook(conn: Conn, webhook: Webhook, *, now: datetime) -> bool:
    """Record a webhook. Returns False if it came before."""
    changed = conn.execute(
        """INSERT INTO provider_webhooks (id, type, reference, received_at) VALUES (%s, %s, %s, %s)
           ON CONFLICT (id) DO NOTHING""",
        (webhook.id, webhook.type, webhook.reference, now),
    )
    return changed.rowcount == 1

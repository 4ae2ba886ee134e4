"""All SQL of payments and checkouts; refunds and ledger are in refund_store.py. Nothing here commits."""

import uuid
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
from shared.events.base import RenewalId
from shared.runtime.pruning import Rule

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
    """Insert the payment of a renewal, unless there is one."""
    return (
        conn.execute(
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
        ).rowcount
        == 1
    )


def find_payment(conn: Conn, renewal_id: RenewalId) -> Payment | None:
    """Return the payment of a renewal, to look at."""
    with conn.cursor(row_factory=kwargs_row(payment_row)) as cursor:
        return cursor.execute(f"SELECT {PAYMENT} FROM payments WHERE renewal_id = %s", (renewal_id,)).fetchone()


def lock_payment(conn: Conn, renewal_id: RenewalId) -> Payment | None:
    """Return the payment of a renewal, locked."""
    with conn.cursor(row_factory=kwargs_row(payment_row)) as cursor:
        return cursor.execute(
            f"SELECT {PAYMENT} FROM payments WHERE renewal_id = %s FOR UPDATE", (renewal_id,)
        ).fetchone()


def save_state(conn: Conn, payment: Payment, *, due_at: datetime | None) -> None:
    """Write the state; `due_at` is when the provider is asked next. A running lease stays."""
    conn.execute(
        "UPDATE payments SET state = %s, closing_reason = %s, due_at = %s, hinted = false, polls = 0 WHERE id = %s",
        (payment.state, payment.closing_reason, due_at, payment.id),
    )


def hint(conn: Conn, payment_id: PaymentId, *, now: datetime) -> None:
    """Ask the provider about this payment now, before all routine look-ups."""
    conn.execute("UPDATE payments SET due_at = %s, hinted = true, polls = 0 WHERE id = %s", (now, payment_id))


def save_capture(conn: Conn, payment: Payment) -> None:
    """Write the capture; nothing is left to ask."""
    conn.execute(
        """UPDATE payments SET state = %s, captured_at = %s, provider_reference = %s, receipt = %s, due_at = NULL,
               hinted = false
           WHERE id = %s""",
        (payment.state, payment.captured_at, payment.provider_reference, payment.receipt, payment.id),
    )


def claim_due_payment(conn: Conn, *, now: datetime, lease: timedelta) -> Payment | None:
    """Lease one payment about which the provider must be asked; nobody else gets it meanwhile.

    Those whose last turn failed come last, and their lease doubles each time. Hinted ones come first: behind a thousand
    overdue look-ups nobody who has just paid would be served.
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
    """Give our own lease back, an outcome recorded, and say when to ask next, unless it became due meanwhile."""
    conn.execute(
        """UPDATE payments SET leased_until = NULL, attempts = 0, polls = polls + 1,
                  hinted = hinted AND due_at <> %(was)s,
                  due_at = CASE WHEN due_at = %(was)s THEN %(due_at)s ELSE due_at END
           WHERE id = %(id)s AND leased_until = %(until)s""",
        {"was": claimed.due_at, "due_at": due_at, "id": claimed.id, "until": claimed.leased_until},
    )


def make_due(conn: Conn, checkout_id: CheckoutId, *, now: datetime) -> None:
    """A hint: ask the provider about the payment of this checkout now, if it can still change anything."""
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
    """Return how many checkouts a payment has had, the live one included."""
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
    """Record the provider's answer to an intent; False if it is recorded already."""
    return (
        conn.execute(
            "UPDATE checkouts SET state = 'open', url = %s WHERE id = %s AND state = 'intended'", (url, checkout_id)
        ).rowcount
        == 1
    )


def save_checkout_ended(conn: Conn, checkout_id: CheckoutId) -> None:
    """Nobody can pay here any more."""
    conn.execute("UPDATE checkouts SET state = 'ended' WHERE id = %s", (checkout_id,))


def use_authorisation(conn: Conn, *, jti: str, renewal_id: RenewalId, idempotency_key: str, now: datetime) -> bool:
    """Use an authorisation up; False if another request did before."""
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
    """Record a declined attempt; False if it is recorded already."""
    return (
        conn.execute(
            """INSERT INTO declines (id, payment_id, reason, recorded_at) VALUES (%s, %s, %s, %s)
               ON CONFLICT (id) DO NOTHING""",
            (decline.id, payment_id, decline.reason, now),
        ).rowcount
        == 1
    )


def add_webhook(conn: Conn, webhook: Webhook, *, now: datetime) -> bool:
    """Record a webhook; False if it came before."""
    return (
        conn.execute(
            """INSERT INTO provider_webhooks (id, type, reference, received_at) VALUES (%s, %s, %s, %s)
               ON CONFLICT (id) DO NOTHING""",
            (webhook.id, webhook.type, webhook.reference, now),
        ).rowcount
        == 1
    )


def add_booking(
    conn: Conn,
    *,
    payment_id: PaymentId,
    refund_id: uuid.UUID | None,
    debit: str,
    credit: str,
    amount_minor: int,
    currency: str,
    provider_reference: str,
    now: datetime,
) -> None:
    """Book a capture (no refund id) or a refund; the table takes each once."""
    conn.execute(
        """INSERT INTO ledger (payment_id, refund_id, debit, credit, amount_minor, currency, provider_reference,
                               booked_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (payment_id, refund_id, debit, credit, amount_minor, currency, provider_reference, now),
    )

-- Payments with their checkouts, refunds and ledger. Amounts are minor units of an ISO 4217 currency.

CREATE TABLE payments (
    id                 UUID PRIMARY KEY,
    renewal_id         UUID NOT NULL UNIQUE,
    reference          TEXT NOT NULL,
    subscriber_id      TEXT NOT NULL,
    ar_id              TEXT NOT NULL,
    payer_name         TEXT NOT NULL,
    amount_minor       BIGINT NOT NULL CHECK (amount_minor > 0),
    currency           TEXT NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    document_sha256    TEXT NOT NULL,
    pay_before         TIMESTAMPTZ NOT NULL,
    state              TEXT NOT NULL
        CHECK (state IN ('awaiting-checkout', 'open', 'closing', 'captured', 'expired', 'held')),
    closing_reason     TEXT,
    captured_at        TIMESTAMPTZ,
    provider_reference TEXT,
    receipt            TEXT,
    -- How often the provider was asked since the last hint; the pause between questions grows with it.
    polls              INTEGER NOT NULL DEFAULT 0,
    -- A hint moves due_at and leaves the lease alone, so it is neither lost nor worked by two at once.
    due_at             TIMESTAMPTZ,
    leased_until       TIMESTAMPTZ,
    created_at         TIMESTAMPTZ NOT NULL,
    CHECK ((state = 'captured') = (captured_at IS NOT NULL AND provider_reference IS NOT NULL AND receipt IS NOT NULL)),
    CHECK (state NOT IN ('closing', 'expired') OR closing_reason IS NOT NULL)
);
CREATE INDEX payments_due ON payments (due_at) WHERE due_at IS NOT NULL;

-- The intent is committed before the provider is asked; id is our reference there and makes the idempotency key.
CREATE TABLE checkouts (
    id           UUID PRIMARY KEY,
    payment_id   UUID NOT NULL REFERENCES payments,
    state        TEXT NOT NULL CHECK (state IN ('intended', 'open', 'ended')),
    amount_minor BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    description  TEXT NOT NULL,
    return_url   TEXT NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL,
    url          TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    CHECK (state <> 'open' OR url IS NOT NULL)
);
CREATE UNIQUE INDEX checkouts_one_live ON checkouts (payment_id) WHERE state <> 'ended';

-- A checkout authorisation is good for one request (and its repetition under the same Idempotency-Key).
CREATE TABLE checkout_authorisations (
    jti             TEXT PRIMARY KEY,
    renewal_id      UUID NOT NULL,
    idempotency_key TEXT NOT NULL,
    used_at         TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE checkout_authorisations IS 'append-only: what was used stays used';

CREATE TABLE declines (
    id          TEXT PRIMARY KEY,
    payment_id  UUID NOT NULL REFERENCES payments,
    reason      TEXT NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE declines IS 'append-only: one row per declined attempt, so that each is announced once';

CREATE TABLE refunds (
    id                 UUID PRIMARY KEY,
    payment_id         UUID NOT NULL REFERENCES payments,
    renewal_id         UUID NOT NULL,
    item_id            UUID,
    amount_minor       BIGINT NOT NULL CHECK (amount_minor > 0),
    currency           TEXT NOT NULL,
    reason             TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('due', 'sending', 'refunded', 'held')),
    tries              INTEGER NOT NULL DEFAULT 0,
    provider_reference TEXT,
    refunded_at        TIMESTAMPTZ,
    -- NULL while the capture is not known, when done, and while held.
    due_at             TIMESTAMPTZ,
    created_at         TIMESTAMPTZ NOT NULL,
    CHECK ((state = 'refunded') = (refunded_at IS NOT NULL AND provider_reference IS NOT NULL))
);
CREATE INDEX refunds_payment ON refunds (payment_id);
CREATE INDEX refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE ledger (
    id                 BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id         UUID NOT NULL REFERENCES payments,
    refund_id          UUID UNIQUE REFERENCES refunds,
    debit              TEXT NOT NULL,
    credit             TEXT NOT NULL,
    amount_minor       BIGINT NOT NULL CHECK (amount_minor > 0),
    currency           TEXT NOT NULL,
    provider_reference TEXT NOT NULL,
    booked_at          TIMESTAMPTZ NOT NULL,
    CHECK (debit <> credit)
);
CREATE UNIQUE INDEX ledger_one_capture ON ledger (payment_id) WHERE refund_id IS NULL;
COMMENT ON TABLE ledger IS 'append-only: one booking per capture and per refund';

CREATE TABLE provider_webhooks (
    id          TEXT PRIMARY KEY,
    type        TEXT NOT NULL,
    reference   TEXT NOT NULL,
    received_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE provider_webhooks IS 'append-only: a repeated webhook changes nothing';

CREATE TABLE subscriptions (
    srn                TEXT PRIMARY KEY,
    subscriber_id      TEXT NOT NULL,
    subscriber_name    TEXT NOT NULL,
    ar_id              TEXT NOT NULL,
    ar_name            TEXT NOT NULL,
    product            TEXT NOT NULL CHECK (product IN ('standard', 'wildcard', 'multi-domain')),
    server_names       TEXT[] NOT NULL,
    additional_servers INTEGER NOT NULL CHECK (additional_servers >= 0),
    standing           TEXT NOT NULL CHECK (standing IN ('active', 'suspended', 'revoked')),
    certificate        TEXT NOT NULL,
    serial             TEXT NOT NULL,
    not_after          TIMESTAMPTZ NOT NULL
);
CREATE INDEX subscriptions_of_subscriber ON subscriptions (subscriber_id, srn);

CREATE TABLE renewals (
    id              UUID PRIMARY KEY,
    reference       TEXT NOT NULL UNIQUE,
    subscriber_id   TEXT NOT NULL,
    subscriber_name TEXT NOT NULL,
    ar_id           TEXT NOT NULL,
    language        TEXT NOT NULL CHECK (language IN ('en', 'zh-Hant', 'zh-Hans')),
    state           TEXT NOT NULL CHECK (state IN ('draft', 'awaiting-payment', 'closing-checkout', 'expiring',
                        'awaiting-csrs', 'on-hold', 'withholding', 'completed', 'refused', 'cancelled', 'expired')),
    document        TEXT NOT NULL,
    document_sha256 TEXT NOT NULL,
    amount_minor    BIGINT NOT NULL CHECK (amount_minor > 0),
    currency        TEXT NOT NULL,
    attestation     TEXT,
    payment_id      UUID,
    receipt         TEXT,
    captured_minor  BIGINT,
    ending          TEXT CHECK (ending IN ('cancelled', 'not-paid', 'no-csr', 'not-released', 'withheld', 'refused')),
    created_at      TIMESTAMPTZ NOT NULL,
    submitted_at    TIMESTAMPTZ,
    ended_at        TIMESTAMPTZ
);
CREATE INDEX renewals_of_subscriber ON renewals (subscriber_id, created_at DESC, id);

CREATE TABLE items (
    id                 UUID PRIMARY KEY,
    renewal_id         UUID NOT NULL REFERENCES renewals,
    position           INTEGER NOT NULL,
    reference          TEXT NOT NULL UNIQUE,
    srn                TEXT NOT NULL REFERENCES subscriptions,
    product            TEXT NOT NULL,
    server_names       TEXT[] NOT NULL,
    additional_servers INTEGER NOT NULL,
    current_serial     TEXT NOT NULL,
    amount_minor       BIGINT NOT NULL CHECK (amount_minor > 0),
    state              TEXT NOT NULL CHECK (state IN ('pending', 'ordered', 'csr-received', 'issued', 'accepted',
                           'refused', 'withheld')),
    -- The renewal is submitted and has not ended.
    open               BOOLEAN NOT NULL DEFAULT false,
    serial             TEXT,
    UNIQUE (renewal_id, position)
);
CREATE UNIQUE INDEX items_one_open_renewal ON items (srn) WHERE open;

-- The deadline of the state a renewal is in; one that has ended has none.
CREATE TABLE timers (
    renewal_id UUID PRIMARY KEY REFERENCES renewals,
    state      TEXT NOT NULL,
    due_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX timers_due ON timers (due_at);

CREATE TABLE refunds (
    id           UUID PRIMARY KEY,
    renewal_id   UUID NOT NULL REFERENCES renewals,
    item_id      UUID REFERENCES items,
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    due_at       TIMESTAMPTZ NOT NULL,
    refunded_at  TIMESTAMPTZ
);
-- One refund of the whole, or one per item.
CREATE UNIQUE INDEX refunds_once ON refunds (renewal_id, COALESCE(item_id, renewal_id));

-- What the AR is shown of the renewal's course.
CREATE TABLE timeline (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    renewal_id UUID NOT NULL REFERENCES renewals,
    time       TIMESTAMPTZ NOT NULL,
    event      TEXT NOT NULL,
    item_id    UUID,
    detail     TEXT
);
CREATE INDEX timeline_of_renewal ON timeline (renewal_id, id);
COMMENT ON TABLE timeline IS 'append-only: what happened stays';

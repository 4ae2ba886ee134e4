-- What every service's database holds beside its own tables: events out, events in, idempotent answers, audit.

CREATE TABLE outbox (
    id                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id          UUID NOT NULL UNIQUE,
    topic             TEXT NOT NULL,
    key               TEXT NOT NULL,
    sequence          BIGINT NOT NULL CHECK (sequence > 0),
    type              TEXT NOT NULL,
    source            TEXT NOT NULL,
    time              TIMESTAMPTZ NOT NULL,
    data              BYTEA NOT NULL,
    dataschema        TEXT NOT NULL,
    traceparent       TEXT,
    causation_id      TEXT,
    -- What an outsider's feed shows is stamped and committed before it is sent.
    position          BIGINT UNIQUE,
    signature         TEXT,
    sent_at           TIMESTAMPTZ,
    unsendable_reason TEXT,
    -- A slip in counting fails loudly in the writer.
    UNIQUE (topic, key, sequence)
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_unsendable ON outbox (topic, key) WHERE unsendable_reason IS NOT NULL;

-- The writer locks this row, so one key's sequence has no holes and no two transactions share a number.
CREATE TABLE outbox_sequences (
    topic         TEXT NOT NULL,
    key           TEXT NOT NULL,
    last_sequence BIGINT NOT NULL,
    PRIMARY KEY (topic, key)
);

CREATE TABLE inbox (
    consumer      TEXT NOT NULL,
    topic         TEXT NOT NULL,
    key           TEXT NOT NULL,
    last_sequence BIGINT NOT NULL,
    last_event_id UUID,
    held_since    TIMESTAMPTZ,
    held_reason   TEXT,
    PRIMARY KEY (consumer, topic, key)
);
CREATE INDEX inbox_held ON inbox (held_since) WHERE held_since IS NOT NULL;

CREATE TABLE parked_events (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer     TEXT NOT NULL,
    topic        TEXT NOT NULL,
    key          TEXT NOT NULL,
    -- NULL when the record carries none that can be read; it then holds nothing and waits to be looked at.
    sequence     BIGINT,
    "partition"  INTEGER NOT NULL,
    "offset"     BIGINT NOT NULL,
    headers      JSONB NOT NULL,
    value        BYTEA,
    reason       TEXT NOT NULL,
    error        TEXT NOT NULL,
    code_version TEXT NOT NULL,
    parked_at    TIMESTAMPTZ NOT NULL,
    UNIQUE (consumer, topic, key, sequence),
    UNIQUE (consumer, topic, "partition", "offset")
);

CREATE TABLE idempotency_keys (
    account     TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    status      INTEGER NOT NULL,
    body        BYTEA NOT NULL,
    media_type  TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, key)
);

CREATE TABLE audit_log (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time         TIMESTAMPTZ NOT NULL,
    actor        TEXT NOT NULL,
    action       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    details      JSONB NOT NULL,
    causation_id TEXT
);
COMMENT ON TABLE audit_log IS 'append-only: the running service may insert and read';

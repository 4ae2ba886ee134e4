-- What the desk shows: a projection of every service's events, and of nothing else. `rebuild` drops it and reads the
-- topics again. There is no order between two topics, so no column depends on which of them came first.

-- One row per event. `facts` is what a reader of the time line needs; no name, no address.
CREATE TABLE steps (
    renewal_id UUID NOT NULL,
    topic      TEXT NOT NULL,
    sequence   BIGINT NOT NULL CHECK (sequence > 0),
    event_id   UUID NOT NULL,
    type       TEXT NOT NULL,
    time       TIMESTAMPTZ NOT NULL,
    item_id    UUID,
    facts      JSONB NOT NULL,
    -- Its position in a feed, and the name of the key whose signature was verified.
    position   BIGINT,
    signed_by  TEXT,
    PRIMARY KEY (renewal_id, topic, sequence)
);
COMMENT ON TABLE steps IS 'projection';

CREATE TABLE renewals (
    renewal_id    UUID PRIMARY KEY,
    reference     TEXT,
    subscriber_id TEXT,
    -- Of the document that identity attested; NULL until the proofs of both services were verified.
    subscriber    TEXT,
    amount_minor  BIGINT,
    currency      TEXT,
    submitted_at  TIMESTAMPTZ,
    paid_at       TIMESTAMPTZ,
    completed_at  TIMESTAMPTZ,
    cancelled_at  TIMESTAMPTZ,
    ending        TEXT,
    withheld_at   TIMESTAMPTZ
);
CREATE INDEX renewals_reference ON renewals (reference text_pattern_ops);
COMMENT ON TABLE renewals IS 'projection';

-- Personal data, apart from the rest: for those who handle letters.
CREATE TABLE recipients (
    renewal_id UUID PRIMARY KEY,
    name       TEXT NOT NULL,
    address    TEXT[] NOT NULL
);
COMMENT ON TABLE recipients IS 'projection';

CREATE TABLE items (
    item_id         UUID PRIMARY KEY,
    renewal_id      UUID NOT NULL,
    reference       TEXT,
    srn             TEXT,
    product         TEXT,
    server_names    TEXT[] NOT NULL DEFAULT '{}',
    requested_at    TIMESTAMPTZ,
    opened_at       TIMESTAMPTZ,
    csr_received_at TIMESTAMPTZ,
    key_kind        TEXT,
    refused_at      TIMESTAMPTZ,
    refusal         TEXT,
    -- The renewal ended, or its issuance was withheld.
    withdrawn_at    TIMESTAMPTZ,
    serial          TEXT UNIQUE,
    issued_at       TIMESTAMPTZ,
    not_before      TIMESTAMPTZ,
    not_after       TIMESTAMPTZ,
    sha256          TEXT,
    accepted_at     TIMESTAMPTZ,
    revoked_at      TIMESTAMPTZ,
    revocation      TEXT
);
CREATE INDEX items_renewal ON items (renewal_id);
CREATE INDEX items_srn ON items (srn);
CREATE INDEX items_reference ON items (reference text_pattern_ops);
CREATE INDEX items_issued ON items (issued_at, item_id) WHERE issued_at IS NOT NULL;
CREATE INDEX items_refused ON items (refused_at, item_id) WHERE refused_at IS NOT NULL;
CREATE INDEX items_waiting ON items (LEAST(requested_at, opened_at), item_id)
    WHERE issued_at IS NULL AND refused_at IS NULL AND withdrawn_at IS NULL;
COMMENT ON TABLE items IS 'projection';

-- Reversed, so that one index answers for a name and for all names under it.
CREATE TABLE item_names (
    item_id  UUID NOT NULL,
    name     TEXT NOT NULL,
    reversed TEXT NOT NULL,
    PRIMARY KEY (item_id, name)
);
CREATE INDEX item_names_reversed ON item_names (reversed text_pattern_ops);
COMMENT ON TABLE item_names IS 'projection';

CREATE TABLE envelopes (
    envelope_id       UUID PRIMARY KEY,
    renewal_id        UUID NOT NULL,
    item_id           UUID NOT NULL,
    server_name       TEXT NOT NULL,
    registered_number TEXT,
    posted_on         DATE,
    returned_on       DATE,
    lost_on           DATE,
    reason            TEXT
);
CREATE INDEX envelopes_renewal ON envelopes (renewal_id);
CREATE INDEX envelopes_number ON envelopes (registered_number);
CREATE INDEX envelopes_despatched ON envelopes (posted_on, envelope_id)
    WHERE returned_on IS NULL AND lost_on IS NULL;
CREATE INDEX envelopes_returned ON envelopes (returned_on, envelope_id) WHERE returned_on IS NOT NULL;
CREATE INDEX envelopes_lost ON envelopes (lost_on, envelope_id) WHERE lost_on IS NOT NULL;
COMMENT ON TABLE envelopes IS 'projection';

-- One row per renewal, whoever speaks of it first. Every intent to sign and every withholding locks it.
CREATE TABLE gates (
    renewal_id  UUID PRIMARY KEY,
    -- A permanent tombstone: nothing of this renewal is or will ever be signed.
    withheld_at TIMESTAMPTZ
);

-- What was proved when the orders were opened; the proofs are kept, because they are verified again at the intent.
CREATE TABLE renewals (
    renewal_id        UUID PRIMARY KEY REFERENCES gates,
    reference         TEXT NOT NULL,
    subscriber_id     TEXT NOT NULL,
    ar_id             TEXT NOT NULL,
    document          TEXT NOT NULL,
    attestation       TEXT NOT NULL,
    receipt           TEXT NOT NULL,
    organisation      TEXT NOT NULL,
    country           TEXT NOT NULL,
    state_or_province TEXT,
    locality          TEXT,
    recipient_name    TEXT NOT NULL,
    recipient_address TEXT[] NOT NULL,
    opened_at         TIMESTAMPTZ NOT NULL
);

CREATE TABLE orders (
    item_id         UUID PRIMARY KEY,
    renewal_id      UUID NOT NULL REFERENCES renewals,
    position        INTEGER NOT NULL,
    reference       TEXT NOT NULL UNIQUE,
    srn             TEXT NOT NULL,
    product         TEXT NOT NULL CHECK (product IN ('standard', 'wildcard', 'multi-domain')),
    server_names    TEXT[] NOT NULL CHECK (cardinality(server_names) > 0),
    state           TEXT NOT NULL CHECK (state IN ('awaiting-csr', 'csr-received', 'issuing', 'issued', 'accepted',
                        'refused', 'withheld')),
    csr             BYTEA,
    csr_sha256      BYTEA,
    spki_sha256     BYTEA,
    key_kind        TEXT,
    csr_received_at TIMESTAMPTZ,
    -- Why the last CSR was set aside, or why the item was refused.
    refusal         TEXT,
    due_at          TIMESTAMPTZ,
    UNIQUE (renewal_id, position)
);
CREATE INDEX orders_due ON orders (due_at) WHERE state = 'csr-received';

-- The hash is argon2id over PIN and pepper. No column of any table holds a PIN.
CREATE TABLE pins (
    envelope_id UUID PRIMARY KEY,
    item_id     UUID NOT NULL REFERENCES orders,
    server_name TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('planned', 'sealed', 'spent', 'void')),
    hash        TEXT,
    tries       INTEGER NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 5),
    planned_at  TIMESTAMPTZ NOT NULL,
    CHECK (hash IS NOT NULL OR state IN ('planned', 'void'))
);
CREATE UNIQUE INDEX pins_one_per_server_name ON pins (item_id, server_name) WHERE state <> 'void';
CREATE INDEX pins_planned ON pins (planned_at) WHERE state = 'planned';

-- A key belongs to the first subscriber, and the first order, that proved to hold it.
CREATE TABLE key_owners (
    spki_sha256   BYTEA PRIMARY KEY,
    subscriber_id TEXT NOT NULL,
    item_id       UUID NOT NULL
);

CREATE TABLE blocked_keys (
    spki_sha256 BYTEA PRIMARY KEY,
    source      TEXT NOT NULL,
    blocked_at  TIMESTAMPTZ NOT NULL
);

-- Stored before the CA's key is used, one per item for ever: recovery signs these very bytes again.
CREATE TABLE intents (
    item_id     UUID PRIMARY KEY REFERENCES orders,
    renewal_id  UUID NOT NULL REFERENCES renewals,
    serial      TEXT NOT NULL UNIQUE,
    tbs         BYTEA NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('intended', 'signed', 'tombstone')),
    findings    TEXT[] NOT NULL,
    due_at      TIMESTAMPTZ,
    intended_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX intents_of_renewal ON intents (renewal_id);
CREATE INDEX intents_due ON intents (due_at) WHERE state = 'intended';

CREATE TABLE certificates (
    serial            TEXT PRIMARY KEY REFERENCES intents (serial),
    item_id           UUID NOT NULL UNIQUE REFERENCES orders,
    renewal_id        UUID NOT NULL REFERENCES renewals,
    spki_sha256       BYTEA NOT NULL,
    der               BYTEA NOT NULL,
    sha256            BYTEA NOT NULL,
    not_before        TIMESTAMPTZ NOT NULL,
    not_after         TIMESTAMPTZ NOT NULL,
    issued_at         TIMESTAMPTZ NOT NULL,
    accepted_at       TIMESTAMPTZ,
    revoked_at        TIMESTAMPTZ,
    revocation_reason TEXT CHECK (revocation_reason IN ('unspecified', 'keyCompromise', 'affiliationChanged',
                          'superseded', 'cessationOfOperation', 'privilegeWithdrawn')),
    -- The first CRL that shows the revocation.
    listed_in         BIGINT,
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);
CREATE INDEX certificates_of_key ON certificates (spki_sha256);
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX certificates_unlisted ON certificates (revoked_at) WHERE revoked_at IS NOT NULL AND listed_in IS NULL;

CREATE TABLE crl_series (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    last_number BIGINT NOT NULL
);
INSERT INTO crl_series (id, last_number) VALUES (1, 0);

-- As with certificates: the bytes are stored, then signed, then stored signed.
CREATE TABLE crls (
    number      BIGINT PRIMARY KEY,
    tbs         BYTEA NOT NULL,
    der         BYTEA,
    this_update TIMESTAMPTZ NOT NULL
);
CREATE INDEX crls_unsigned ON crls (number) WHERE der IS NULL;

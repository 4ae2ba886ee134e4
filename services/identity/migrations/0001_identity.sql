-- Who may act for whom, which CRLs are believed, and the evidence of each signature.

CREATE TABLE subscribers (
    id                TEXT PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    name              TEXT NOT NULL CHECK (name <> ''),
    name_zh           TEXT,
    -- Business Registration Number (Unique Business Identifier): 8 digits, 7 on older papers.
    brn               TEXT NOT NULL UNIQUE CHECK (brn ~ '^[0-9]{7,8}$'),
    country           TEXT NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    state_or_province TEXT,
    locality          TEXT,
    enrolled_at       TIMESTAMPTZ NOT NULL,
    -- A server certificate names at least one of the two.
    CHECK (state_or_province IS NOT NULL OR locality IS NOT NULL)
);

-- A row is never deleted and an ended one never opens again: together they are the history of who could act.
CREATE TABLE authorised_representatives (
    id            TEXT PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    subscriber_id TEXT NOT NULL REFERENCES subscribers (id),
    name          TEXT NOT NULL CHECK (name <> ''),
    name_zh       TEXT,
    email         TEXT NOT NULL CHECK (email LIKE '%_@_%'),
    address       TEXT[] NOT NULL CHECK (cardinality(address) BETWEEN 1 AND 8),
    appointed_at  TIMESTAMPTZ NOT NULL,
    ended_at      TIMESTAMPTZ,
    end_reason    TEXT,
    replaced_by   TEXT REFERENCES authorised_representatives (id),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX authorised_representatives_subscriber ON authorised_representatives (subscriber_id);

-- The e-Certs registered for an AR. One e-Cert is one person's for ever, so it never moves to another AR.
CREATE TABLE ar_certificates (
    sha256        TEXT PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    ar_id         TEXT NOT NULL REFERENCES authorised_representatives (id),
    der           BYTEA NOT NULL,
    registered_at TIMESTAMPTZ NOT NULL,
    withdrawn_at  TIMESTAMPTZ
);
CREATE INDEX ar_certificates_ar ON ar_certificates (ar_id);

CREATE TABLE crl_sources (
    source          TEXT PRIMARY KEY,
    due_at          TIMESTAMPTZ NOT NULL,
    last_success_at TIMESTAMPTZ,
    last_error      TEXT
);

-- Every CRL that was accepted and is current or belongs to evidence.
CREATE TABLE crls (
    issuer_sha256 TEXT NOT NULL,
    sha256        TEXT NOT NULL,
    scope         TEXT NOT NULL,
    number        NUMERIC(50) NOT NULL,
    this_update   TIMESTAMPTZ NOT NULL,
    next_update   TIMESTAMPTZ NOT NULL,
    der           BYTEA NOT NULL,
    accepted_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (issuer_sha256, sha256)
);

-- The newest of each list that an issuer keeps; it never goes back.
CREATE TABLE crl_heads (
    issuer_sha256 TEXT NOT NULL,
    scope         TEXT NOT NULL,
    number        NUMERIC(50) NOT NULL,
    this_update   TIMESTAMPTZ NOT NULL,
    sha256        TEXT NOT NULL,
    PRIMARY KEY (issuer_sha256, scope)
);

CREATE TABLE evidence (
    id                 UUID PRIMARY KEY,
    renewal_id         UUID NOT NULL,
    subscriber_id      TEXT NOT NULL REFERENCES subscribers (id),
    ar_id              TEXT NOT NULL REFERENCES authorised_representatives (id),
    nonce              TEXT NOT NULL,
    document           BYTEA NOT NULL,
    document_sha256    TEXT NOT NULL,
    signature          BYTEA NOT NULL,
    signature_sha256   TEXT NOT NULL,
    certificate_sha256 TEXT NOT NULL,
    -- DER: the signer, the sub-CA(s), the anchor.
    chain              BYTEA[] NOT NULL,
    decision           JSONB NOT NULL,
    attestation        TEXT NOT NULL,
    verified_at        TIMESTAMPTZ NOT NULL,
    UNIQUE (ar_id, signature_sha256),
    -- Single use. By AR, so that nobody can spend another's nonce or renewal.
    UNIQUE (ar_id, renewal_id),
    UNIQUE (ar_id, nonce)
);
COMMENT ON TABLE evidence IS 'append-only: what was verified, by what, and what was decided';

CREATE TABLE evidence_crls (
    evidence_id   UUID NOT NULL REFERENCES evidence (id),
    issuer_sha256 TEXT NOT NULL,
    crl_sha256    TEXT NOT NULL,
    PRIMARY KEY (evidence_id, issuer_sha256, crl_sha256),
    FOREIGN KEY (issuer_sha256, crl_sha256) REFERENCES crls (issuer_sha256, sha256)
);
COMMENT ON TABLE evidence_crls IS 'append-only: the revocation lists that a decision rested on';

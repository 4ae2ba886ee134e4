-- Renewals of register evidence by four-eyes approval: one person says what was verified, another approves it.
CREATE TABLE evidence_proposals (
    id              UUID PRIMARY KEY,
    kind            TEXT NOT NULL CHECK (kind IN ('organisation', 'authority')),
    -- A subscriber's id, or an AR's.
    subject         TEXT NOT NULL,
    verified_at     TIMESTAMPTZ NOT NULL,
    source          TEXT NOT NULL,
    checker         TEXT NOT NULL,
    reason          TEXT NOT NULL,
    proposed_by     TEXT NOT NULL,
    proposed_at     TIMESTAMPTZ NOT NULL,
    decision        TEXT CHECK (decision IN ('approved', 'rejected')),
    decided_by      TEXT,
    decided_at      TIMESTAMPTZ,
    decision_reason TEXT,
    CHECK (num_nulls(decision, decided_by, decided_at, decision_reason) IN (0, 4))
);
CREATE UNIQUE INDEX evidence_proposals_open ON evidence_proposals (kind, subject) WHERE decision IS NULL;
-- What lapses next is asked for every few seconds.
CREATE INDEX subscribers_verified ON subscribers (verified_at);
CREATE INDEX authorised_representatives_verified ON authorised_representatives (verified_at) WHERE ended_at IS NULL;

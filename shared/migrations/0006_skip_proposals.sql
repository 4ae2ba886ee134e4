-- To leave a held event out takes two persons.

CREATE TABLE skip_proposals (
    id              UUID PRIMARY KEY,
    consumer        TEXT NOT NULL,
    parked_id       BIGINT NOT NULL,
    topic           TEXT NOT NULL,
    key             TEXT NOT NULL,
    -- Where the event lies in its topic: partition/offset.
    event           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    proposed_by     TEXT NOT NULL,
    proposed_at     TIMESTAMPTZ NOT NULL,
    decision        TEXT CHECK (decision IN ('confirmed', 'turned-down')),
    decided_by      TEXT,
    decided_at      TIMESTAMPTZ,
    decision_reason TEXT,
    CHECK (num_nulls(decision, decided_by, decided_at, decision_reason) IN (0, 4)),
    -- Whatever the code does: nobody confirms their own.
    CHECK (decision IS DISTINCT FROM 'confirmed' OR decided_by <> proposed_by)
);
CREATE UNIQUE INDEX skip_proposals_one_open ON skip_proposals (parked_id) WHERE decision IS NULL;

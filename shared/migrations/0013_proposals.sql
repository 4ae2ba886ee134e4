-- Whatever needs four-eyes approval is proposed and decided on in one table. No release has run with the earlier one, so it goes
-- at once.
CREATE TABLE proposals (
    id              UUID PRIMARY KEY,
    action          TEXT NOT NULL,
    -- What the action is done to; `content` is what else it needs.
    target          TEXT NOT NULL,
    -- What audit records of it are found by.
    subject         TEXT NOT NULL,
    content         JSONB NOT NULL,
    reason          TEXT NOT NULL,
    proposed_by     TEXT NOT NULL,
    proposed_at     TIMESTAMPTZ NOT NULL,
    decision        TEXT CHECK (decision IN ('approved', 'rejected')),
    decided_by      TEXT,
    decided_at      TIMESTAMPTZ,
    decision_reason TEXT,
    CHECK (num_nulls(decision, decided_by, decided_at, decision_reason) IN (0, 4)),
    -- Whatever the code does: nobody approves their own.
    CHECK (decision IS DISTINCT FROM 'approved' OR decided_by <> proposed_by)
);
CREATE UNIQUE INDEX proposals_one_open ON proposals (action, target) WHERE decision IS NULL;

INSERT INTO proposals
SELECT id, 'skip', parked_id::text, key,
       jsonb_build_object('consumer', consumer, 'topic', topic, 'event', event), reason, proposed_by, proposed_at,
       CASE decision WHEN 'confirmed' THEN 'approved' WHEN 'turned-down' THEN 'rejected' END,
       decided_by, decided_at, decision_reason
FROM skip_proposals;
DROP TABLE skip_proposals;

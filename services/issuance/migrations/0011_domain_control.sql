-- What a subscriber proves about a domain, and the random value that proves it (BR 3.2.2.4.7, 3.2.2.4.18). A check is due
-- when the AR asks for one, or an order waits for it.
CREATE TABLE domain_controls (
    subscriber_id TEXT NOT NULL,
    domain        TEXT NOT NULL,
    random_value  TEXT NOT NULL,
    valued_at     TIMESTAMPTZ NOT NULL,
    -- It has proved control, and proves nothing any more.
    used_at       TIMESTAMPTZ,
    due_at        TIMESTAMPTZ,
    -- Asked for while a check was under way: another one follows.
    asked_at      TIMESTAMPTZ,
    claimed_at    TIMESTAMPTZ,
    attempts      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscriber_id, domain)
);
CREATE INDEX domain_controls_due ON domain_controls (subscriber_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX domain_controls_claimed ON domain_controls (subscriber_id, claimed_at DESC) WHERE claimed_at IS NOT NULL;

-- Every check with what each perspective saw (BR 5.4.1). A proof of control has its method, what proved nothing a reason.
CREATE TABLE domain_checks (
    check_id      UUID PRIMARY KEY,
    subscriber_id TEXT NOT NULL,
    domain        TEXT NOT NULL,
    checked_at    TIMESTAMPTZ NOT NULL,
    method        TEXT CHECK (method IN ('7', '18')),
    reason        TEXT,
    quorum        TEXT NOT NULL,
    -- CAA as every perspective saw it, for the signature; what the primary one saw, for the AR; all answers.
    caa           JSONB NOT NULL,
    seen          JSONB NOT NULL,
    reports       JSONB NOT NULL
);
CREATE INDEX domain_checks_latest ON domain_checks (subscriber_id, domain, checked_at DESC);
CREATE INDEX domain_checks_proofs ON domain_checks (subscriber_id, domain, method, checked_at DESC)
    WHERE method IS NOT NULL;
CREATE INDEX domain_checks_failed ON domain_checks (checked_at) WHERE method IS NULL;

-- What an order with a CSR waits for before its certificate may be signed, as last announced.
ALTER TABLE orders ADD COLUMN obstacles JSONB NOT NULL DEFAULT '[]';
-- When its domains were asked to be looked at, while it waits for that.
ALTER TABLE orders ADD COLUMN checks_asked_at TIMESTAMPTZ;
CREATE INDEX renewals_of_subscriber ON renewals (subscriber_id);

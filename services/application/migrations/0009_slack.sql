-- The slack of an open renewal in working days, as of the last look; NULL while it has none. The risk of each is
-- announced once.
ALTER TABLE renewals ADD COLUMN slack_days INTEGER, ADD COLUMN at_risk_at TIMESTAMPTZ,
    ADD COLUMN slack_due_at TIMESTAMPTZ NOT NULL DEFAULT 'epoch';
CREATE INDEX renewals_slack ON renewals (slack_due_at) WHERE state IN ('awaiting-payment', 'awaiting-csrs', 'on-hold');

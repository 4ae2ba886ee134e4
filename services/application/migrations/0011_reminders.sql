-- Reminders of the end of a paid period: each at most once. A subscription is looked at when the next one is due.
CREATE TABLE reminders (
    srn         TEXT NOT NULL REFERENCES subscriptions (srn),
    paid_until  DATE NOT NULL,
    days_before INTEGER NOT NULL CHECK (days_before >= 0),
    outcome     TEXT NOT NULL CHECK (outcome IN ('announced', 'unaddressed')),
    decided_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (srn, paid_until, days_before)
);
ALTER TABLE subscriptions ADD COLUMN reminder_due_at TIMESTAMPTZ NOT NULL DEFAULT 'epoch';
CREATE INDEX subscriptions_reminder ON subscriptions (reminder_due_at);
CREATE INDEX items_of_subscription ON items (srn);

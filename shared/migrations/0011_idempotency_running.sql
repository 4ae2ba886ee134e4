-- A request that makes several transactions has its Idempotency-Key for itself while it runs, and no longer than `until`:
-- a process that died does not keep it.
CREATE TABLE idempotency_running (
    account     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    until       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, key)
);

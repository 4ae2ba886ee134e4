-- After a restore, events come back from Kafka in batches. A recovery that was broken off is resumed under its number, and
-- what all its runs brought back can be named at the end.

CREATE TABLE outbox_recoveries (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor    TEXT NOT NULL,
    began_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX outbox_recoveries_one_open ON outbox_recoveries ((TRUE)) WHERE ended_at IS NULL;
COMMENT ON TABLE outbox_recoveries IS 'append-only but for: ended_at';

ALTER TABLE outbox ADD COLUMN recovery_id BIGINT REFERENCES outbox_recoveries;
CREATE INDEX outbox_recovered ON outbox (recovery_id, key) WHERE recovery_id IS NOT NULL;

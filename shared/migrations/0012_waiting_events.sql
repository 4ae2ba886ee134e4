-- An event that fails alone for a passing reason waits: it is tried again by itself, and other keys go on.

ALTER TABLE parked_events
    ADD COLUMN tries INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN retry_at TIMESTAMPTZ;
CREATE INDEX parked_events_waiting ON parked_events (consumer, retry_at) WHERE reason = 'waiting';

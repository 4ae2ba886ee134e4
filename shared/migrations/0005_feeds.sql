-- A topic that outsiders read by position is a feed: its events are numbered and signed before they are sent.

CREATE TABLE feeds (
    topic         TEXT PRIMARY KEY,
    -- Also the feed's head: it is raised in the transaction that stamps the events.
    last_position BIGINT NOT NULL CHECK (last_position >= 0)
);
COMMENT ON TABLE feeds IS 'append-only but for: last_position';

-- Positions count per feed.
ALTER TABLE outbox DROP CONSTRAINT outbox_position_key;
CREATE UNIQUE INDEX outbox_position ON outbox (topic, position) WHERE position IS NOT NULL;
ALTER TABLE outbox ADD CONSTRAINT outbox_stamp CHECK ((position IS NULL) = (signature IS NULL));
-- What was announced once is never changed: a resend repeats it byte for byte.
COMMENT ON TABLE outbox IS 'append-only but for: position, signature, sent_at, unsendable_reason';

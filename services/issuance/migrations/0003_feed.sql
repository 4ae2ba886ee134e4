-- issuance.events is a feed: the back office reads it by position, over Kafka or over HTTP.

INSERT INTO feeds (topic, last_position) VALUES ('issuance.events', 0);
CREATE INDEX outbox_unstamped ON outbox (id) WHERE position IS NULL AND topic = 'issuance.events';

-- Who may read it over HTTP, by certificate. Two rows of one reader are an old and a new certificate.
CREATE TABLE feed_readers (
    certificate_sha256 TEXT PRIMARY KEY,
    reader             TEXT NOT NULL,
    role               TEXT NOT NULL,
    subject            TEXT NOT NULL,
    not_after          TIMESTAMPTZ NOT NULL,
    registered_at      TIMESTAMPTZ NOT NULL,
    withdrawn_at       TIMESTAMPTZ
);

-- All that the process which outsiders reach can see of the outbox: no sealed PIN, and nothing before its stamp.
CREATE VIEW feed_events AS
    SELECT event_id, topic, key, sequence, type, source, time, data, dataschema, traceparent, causation_id,
           position, signature
    FROM outbox WHERE topic = 'issuance.events' AND position IS NOT NULL;

-- It logs in as a role of its own. Where it runs under another name, that role is given the same rights by hand.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'issuance_feed') THEN
        GRANT SELECT ON schema_migrations, feeds, feed_events, feed_readers TO issuance_feed;
    END IF;
END
$$;

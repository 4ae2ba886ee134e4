-- Offsets begin again when Kafka is made again: a held event is known by what it is, not by where it lay.

-- "SEQUENCE ID" of an event that can be read, "sha256 HEX" over headers and data of one that cannot.
-- The release before this one does not write it: then it is a value of its own.
ALTER TABLE parked_events ADD COLUMN identity TEXT NOT NULL DEFAULT gen_random_uuid()::text;
WITH known AS (
    SELECT id, consumer, topic, key,
           CASE WHEN reason IN ('undecodable', 'no-sequence') OR sequence IS NULL
                THEN 'sha256 ' || encode(sha256(
                    convert_to(headers::text, 'UTF8') || COALESCE('\x00'::bytea || value, ''::bytea)), 'hex')
                ELSE sequence || ' ' || COALESCE(
                    (SELECT h ->> 1 FROM jsonb_array_elements(headers) AS h WHERE h ->> 0 = 'ce_id' LIMIT 1), '')
           END AS identity
    FROM parked_events
), counted AS (
    SELECT id, identity, row_number() OVER (PARTITION BY consumer, topic, key, identity ORDER BY id) AS copy FROM known
)
UPDATE parked_events AS p
SET identity = c.identity || CASE WHEN c.copy > 1 THEN ' copy ' || c.copy ELSE '' END
FROM counted AS c WHERE c.id = p.id;
ALTER TABLE parked_events DROP CONSTRAINT parked_events_consumer_topic_partition_offset_key;
CREATE UNIQUE INDEX parked_events_one_of_each ON parked_events (consumer, topic, key, identity);

-- The ids of the last numbers of the key, the last of all at the end: any of them used again is noticed.
-- Its end differs from last_event_id where the release before this one went on: then the others are not known.
ALTER TABLE inbox ADD COLUMN event_ids UUID[] NOT NULL DEFAULT '{}';

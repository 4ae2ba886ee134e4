-- Two events may claim one number: both are kept under it, as conflicts, until an operator says which is left out.

UPDATE parked_events SET sequence = (
    SELECT (h ->> 1)::BIGINT FROM jsonb_array_elements(headers) AS h WHERE h ->> 0 = 'ce_sequence' LIMIT 1)
WHERE reason = 'conflict' AND sequence IS NULL;

ALTER TABLE parked_events DROP CONSTRAINT parked_events_consumer_topic_key_sequence_key;
CREATE UNIQUE INDEX parked_events_one_per_number ON parked_events (consumer, topic, key, sequence)
    WHERE reason <> 'conflict';
CREATE INDEX parked_events_of_key ON parked_events (consumer, topic, key, sequence);

-- A letter that was lost, or is of no use any more, has its PIN voided by issuance; another takes its place.
ALTER TABLE envelopes
    DROP COLUMN lost_on,
    ADD COLUMN voided_at   TIMESTAMPTZ,
    ADD COLUMN void_reason TEXT,
    ADD COLUMN announced_at TIMESTAMPTZ,
    ADD COLUMN replaces    UUID;
CREATE INDEX envelopes_despatched ON envelopes (posted_on, envelope_id)
    WHERE posted_on IS NOT NULL AND returned_on IS NULL AND voided_at IS NULL;
CREATE INDEX envelopes_lost ON envelopes (voided_at, envelope_id) WHERE void_reason = 'lost';

-- What was left out of one renewal is said on its time line.
CREATE INDEX audit_log_left_out ON audit_log (subject) WHERE action = 'event-skipped';

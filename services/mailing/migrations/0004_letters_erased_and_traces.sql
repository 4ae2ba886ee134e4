-- A letter's file holds a PIN, so it is erased once it is needed no more: from `finished_at` on, when the envelope was
-- recorded as posted or given up after printing. Intent (`erasing_at`), then the file, then the outcome (`erased_at`).
-- A due row carries the trace of what made it due, too.
ALTER TABLE mails ADD COLUMN traceparent TEXT;
ALTER TABLE pin_envelopes
    ADD COLUMN traceparent TEXT,
    ADD COLUMN finished_at TIMESTAMPTZ,
    ADD COLUMN erasing_at  TIMESTAMPTZ,
    ADD COLUMN erased_at   TIMESTAMPTZ,
    ADD CHECK (erased_at IS NULL OR (erasing_at IS NOT NULL AND state IN ('posted', 'returned', 'dropped')));
CREATE INDEX pin_envelopes_on_disk ON pin_envelopes (printed_at) WHERE file_sha256 IS NOT NULL AND erased_at IS NULL;
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'mailing_print') THEN
        GRANT SELECT (traceparent, printed_at, finished_at, erasing_at, erased_at) ON pin_envelopes TO mailing_print;
        GRANT UPDATE (erasing_at, erased_at) ON pin_envelopes TO mailing_print;
    END IF;
END
$$;

-- How often an envelope was claimed for the printer; its lease grows with it, and it comes after fresh ones.
ALTER TABLE pin_envelopes ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'mailing_print') THEN
        GRANT SELECT (attempts), UPDATE (attempts) ON pin_envelopes TO mailing_print;
    END IF;
END
$$;

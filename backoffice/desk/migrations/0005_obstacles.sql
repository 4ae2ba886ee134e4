-- What a certificate waits for, as issuance announced it last, and until when, as application announced it.
ALTER TABLE items
    ADD COLUMN obstacles   JSONB NOT NULL DEFAULT '[]',
    ADD COLUMN waits_until TIMESTAMPTZ;

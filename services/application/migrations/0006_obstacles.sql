-- What a certificate waits for, as issuance announced it last; and of which obstacles the AR was notified by e-mail, once each.
ALTER TABLE items
    ADD COLUMN obstacles JSONB NOT NULL DEFAULT '[]',
    ADD COLUMN notified      JSONB NOT NULL DEFAULT '[]';
-- The server names that a delay is about.
ALTER TABLE timeline ADD COLUMN server_names TEXT[];

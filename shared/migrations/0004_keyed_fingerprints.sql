-- A request is recognised by a keyed hash: over a body with a PIN in it a bare one would give the PIN away.

ALTER TABLE idempotency_keys ADD COLUMN fingerprint TEXT;
-- The release before this one still writes it; the next one drops it.
ALTER TABLE idempotency_keys ALTER COLUMN body_sha256 DROP NOT NULL;
UPDATE idempotency_keys SET body_sha256 = NULL;

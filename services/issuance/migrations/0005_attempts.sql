-- How often a row was claimed since its last recorded outcome; its lease grows with it, and it comes after fresh rows.
ALTER TABLE orders ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pins
    ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN leased_until TIMESTAMPTZ;

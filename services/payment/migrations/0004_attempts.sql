-- How often a row was claimed since its last recorded outcome; its lease grows with it, and it comes after fresh rows.
ALTER TABLE payments ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
DROP INDEX payments_due;
CREATE INDEX payments_due ON payments (due_at) WHERE due_at IS NOT NULL;

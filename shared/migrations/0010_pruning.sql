-- What is kept for a time only is found by its age (shared/pruning.py, docs/data.md).

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- A day, not a moment: most events of a renewal come on the same day as others, and then no index changes.
ALTER TABLE inbox ADD COLUMN advanced_on DATE NOT NULL DEFAULT CURRENT_DATE;
CREATE INDEX inbox_age ON inbox (advanced_on);

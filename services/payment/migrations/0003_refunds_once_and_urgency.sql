-- One refund of the whole payment and one of each item, whatever ids they were asked for under: a restored application
-- may ask again. Rows that were doubled before stay readable; the first one counts.
ALTER TABLE refunds
    ADD COLUMN is_repeat BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN asked_as UUID;
UPDATE refunds AS later SET is_repeat = true WHERE EXISTS (
    SELECT 1 FROM refunds AS first
    WHERE first.payment_id = later.payment_id AND first.item_id IS NOT DISTINCT FROM later.item_id
      AND (first.created_at, first.id) < (later.created_at, later.id));
CREATE UNIQUE INDEX refunds_one_per_item ON refunds (payment_id, COALESCE(item_id, payment_id)) WHERE NOT is_repeat;

-- Hints (a webhook, a closure, an operator) come before routine look-ups, however long those have been due.
ALTER TABLE payments ADD COLUMN hinted BOOLEAN NOT NULL DEFAULT false;
DROP INDEX payments_due;
CREATE INDEX payments_due ON payments (hinted DESC, due_at) WHERE due_at IS NOT NULL;

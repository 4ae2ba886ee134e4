-- One refund of the whole renewal and one of each item, whatever ids a restored application announces them under. Rows
-- that were doubled before stay readable; the first one counts.
ALTER TABLE refunds ADD COLUMN is_repeat BOOLEAN NOT NULL DEFAULT false;
UPDATE refunds AS later SET is_repeat = true WHERE EXISTS (
    SELECT 1 FROM refunds AS first
    WHERE first.renewal_id = later.renewal_id AND first.item_id IS NOT DISTINCT FROM later.item_id
      AND first.refund_id < later.refund_id);
CREATE UNIQUE INDEX refunds_one_per_item ON refunds (renewal_id, COALESCE(item_id, renewal_id)) WHERE NOT is_repeat;

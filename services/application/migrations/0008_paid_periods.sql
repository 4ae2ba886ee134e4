-- What a fee pays for: whole days in Hong Kong, both inclusive. A row from before is known by its certificate alone, which
-- ended with the year that was paid for.
ALTER TABLE subscriptions ADD COLUMN paid_from DATE, ADD COLUMN paid_until DATE;
UPDATE subscriptions SET paid_until = (not_after AT TIME ZONE 'Asia/Hong_Kong')::date;
UPDATE subscriptions SET paid_from = (paid_until - interval '1 year')::date + 1;
ALTER TABLE subscriptions ALTER COLUMN paid_from SET NOT NULL, ALTER COLUMN paid_until SET NOT NULL,
    ADD CONSTRAINT subscriptions_period CHECK (paid_from <= paid_until);

ALTER TABLE import_rows ADD COLUMN paid_from DATE, ADD COLUMN paid_until DATE;
UPDATE import_rows SET paid_until = (not_after AT TIME ZONE 'Asia/Hong_Kong')::date;
UPDATE import_rows SET paid_from = (paid_until - interval '1 year')::date + 1;
ALTER TABLE import_rows ALTER COLUMN paid_from SET NOT NULL, ALTER COLUMN paid_until SET NOT NULL;

-- The year that the item's fee pays for; NULL in those whose document was written before periods were.
ALTER TABLE items ADD COLUMN paid_from DATE, ADD COLUMN paid_until DATE,
    ADD CONSTRAINT items_period CHECK ((paid_from IS NULL) = (paid_until IS NULL) AND paid_from <= paid_until);

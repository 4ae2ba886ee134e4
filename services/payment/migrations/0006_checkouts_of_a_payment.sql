-- How many checkouts a payment has had names the next one.
CREATE INDEX checkouts_payment ON checkouts (payment_id);

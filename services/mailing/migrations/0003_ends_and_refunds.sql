-- Mails at each end of a renewal, and of items that are refused one by one: one per item then. No release has run with
-- the narrower key, so it goes at once.
ALTER TABLE mails
    ADD COLUMN item_id UUID,
    DROP CONSTRAINT mails_template_check,
    ADD CONSTRAINT mails_template_check CHECK (template IN (
        'csr-request', 'item-refused', 'renewal-completed', 'renewal-cancelled', 'payment-returned')),
    DROP CONSTRAINT mails_renewal_id_template_recipient_address_key,
    ADD UNIQUE NULLS NOT DISTINCT (renewal_id, template, recipient_address, item_id),
    ADD CHECK ((template = 'item-refused') = (item_id IS NOT NULL));

-- What goes back of a renewal's fee, by item or in all: the mails at its end say how much.
CREATE TABLE refunds (
    refund_id    UUID PRIMARY KEY,
    renewal_id   UUID NOT NULL REFERENCES renewals,
    item_id      UUID,
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency     TEXT NOT NULL,
    cause        TEXT
);
CREATE INDEX refunds_renewal ON refunds (renewal_id);

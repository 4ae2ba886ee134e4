-- E-mails about PINs that were replaced: one per item for each new letter.
ALTER TABLE mails
    DROP CONSTRAINT mails_template_check,
    ADD CONSTRAINT mails_template_check CHECK (template IN (
        'csr-request', 'certificate-delayed', 'item-refused', 'renewal-completed', 'renewal-cancelled',
        'payment-returned', 'renewal-reminder', 'pin-replaced')),
    DROP CONSTRAINT mails_item_check,
    ADD CONSTRAINT mails_item_check CHECK (
        (template IN ('item-refused', 'certificate-delayed', 'renewal-reminder', 'pin-replaced')) = (item_id IS NOT NULL)),
    DROP CONSTRAINT mails_occasion_check,
    ADD CONSTRAINT mails_occasion_check CHECK (
        (template IN ('certificate-delayed', 'renewal-reminder', 'pin-replaced')) = (occasion IS NOT NULL));
-- The e-mail lists the item's new letters; the unique index has only the live ones.
CREATE INDEX pin_envelopes_item ON pin_envelopes (item_id);

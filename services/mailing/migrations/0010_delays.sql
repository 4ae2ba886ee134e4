-- E-mails about certificates that wait: one per item for each change. No release has run with the narrower key, so it goes
-- at once.
ALTER TABLE mails
    ADD COLUMN occasion UUID,
    DROP CONSTRAINT mails_template_check,
    ADD CONSTRAINT mails_template_check CHECK (template IN (
        'csr-request', 'certificate-delayed', 'item-refused', 'renewal-completed', 'renewal-cancelled',
        'payment-returned')),
    DROP CONSTRAINT mails_renewal_id_template_recipient_address_item_id_key,
    ADD CONSTRAINT mails_once UNIQUE NULLS NOT DISTINCT (renewal_id, template, recipient_address, item_id, occasion),
    DROP CONSTRAINT mails_check,
    ADD CONSTRAINT mails_item_check CHECK ((template IN ('item-refused', 'certificate-delayed')) = (item_id IS NOT NULL)),
    ADD CONSTRAINT mails_occasion_check CHECK ((template = 'certificate-delayed') = (occasion IS NOT NULL));

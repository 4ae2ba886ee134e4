-- E-mails that remind of the end of a paid period: one per item on each of its days.
ALTER TABLE mails
    DROP CONSTRAINT mails_template_check,
    ADD CONSTRAINT mails_template_check CHECK (template IN (
        'csr-request', 'certificate-delayed', 'item-refused', 'renewal-completed', 'renewal-cancelled',
        'payment-returned', 'renewal-reminder')),
    DROP CONSTRAINT mails_item_check,
    ADD CONSTRAINT mails_item_check CHECK (
        (template IN ('item-refused', 'certificate-delayed', 'renewal-reminder')) = (item_id IS NOT NULL)),
    DROP CONSTRAINT mails_occasion_check,
    ADD CONSTRAINT mails_occasion_check CHECK (
        (template IN ('certificate-delayed', 'renewal-reminder')) = (occasion IS NOT NULL));

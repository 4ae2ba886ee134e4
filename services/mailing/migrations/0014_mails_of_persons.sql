-- E-mails about the persons of a subscriber, from identity's register: they belong to no renewal.
ALTER TABLE mails
    ALTER COLUMN renewal_id DROP NOT NULL,
    ADD COLUMN subscriber_id TEXT,
    ADD CONSTRAINT mails_about CHECK (num_nonnulls(renewal_id, subscriber_id) = 1),
    DROP CONSTRAINT mails_template_check,
    ADD CONSTRAINT mails_template_check CHECK (template IN (
        'csr-request', 'certificate-delayed', 'item-refused', 'renewal-completed', 'renewal-cancelled',
        'payment-returned', 'renewal-reminder', 'pin-replaced', 'certificate-revoked', 'ecert-rolled-over')),
    DROP CONSTRAINT mails_occasion_check,
    ADD CONSTRAINT mails_occasion_check CHECK (
        (template IN ('certificate-delayed', 'renewal-reminder', 'pin-replaced', 'certificate-revoked',
                      'ecert-rolled-over'))
        = (occasion IS NOT NULL));
-- The language of such an e-mail is that of the newest one about a renewal to the same address.
CREATE INDEX mails_of_recipient ON mails (recipient_address, queued_at);

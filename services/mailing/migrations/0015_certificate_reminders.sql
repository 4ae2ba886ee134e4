-- Reminders of a certificate's end: one for each certificate and number of days.
ALTER TABLE mails
    DROP CONSTRAINT mails_template_check,
    ADD CONSTRAINT mails_template_check CHECK (template IN (
        'csr-request', 'certificate-delayed', 'item-refused', 'renewal-completed', 'renewal-cancelled',
        'payment-returned', 'renewal-reminder', 'reissue-reminder', 'pin-replaced', 'certificate-revoked',
        'ecert-rolled-over')),
    DROP CONSTRAINT mails_item_check,
    ADD CONSTRAINT mails_item_check CHECK (
        (template IN ('item-refused', 'certificate-delayed', 'renewal-reminder', 'reissue-reminder', 'pin-replaced',
                      'certificate-revoked'))
        = (item_id IS NOT NULL)),
    DROP CONSTRAINT mails_occasion_check,
    ADD CONSTRAINT mails_occasion_check CHECK (
        (template IN ('certificate-delayed', 'renewal-reminder', 'reissue-reminder', 'pin-replaced',
                      'certificate-revoked', 'ecert-rolled-over'))
        = (occasion IS NOT NULL));

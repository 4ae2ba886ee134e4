-- A renewal that ends with every CSR at hand has an end reason of its own: what was missing at its deadline was no CSR.
ALTER TABLE renewals
    DROP CONSTRAINT renewals_ending_check,
    ADD CONSTRAINT renewals_ending_check CHECK (ending IN ('cancelled', 'not-paid', 'no-csr', 'not-issued',
        'not-released', 'withheld', 'refused'));

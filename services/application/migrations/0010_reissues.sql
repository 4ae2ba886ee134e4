-- A reissue is another certificate within the paid period: nothing is to be paid for it.
ALTER TABLE renewals ADD COLUMN kind TEXT NOT NULL DEFAULT 'renewal' CHECK (kind IN ('renewal', 'reissue')),
    DROP CONSTRAINT renewals_amount_minor_check,
    ADD CONSTRAINT renewals_amount_minor_check CHECK ((kind = 'reissue') = (amount_minor = 0) AND amount_minor >= 0);
ALTER TABLE items DROP CONSTRAINT items_amount_minor_check,
    ADD CONSTRAINT items_amount_minor_check CHECK (amount_minor >= 0);

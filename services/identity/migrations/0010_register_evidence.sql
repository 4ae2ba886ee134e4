-- When an organisation's data, and an AR's authority, were last verified, from what source and by whom. Rows from before
-- have none: enrolled_at and appointed_at say when a row was written, not when anything was verified.
ALTER TABLE subscribers
    ADD COLUMN verified_at TIMESTAMPTZ,
    ADD COLUMN source      TEXT,
    ADD COLUMN checker     TEXT,
    ADD CONSTRAINT subscribers_evidence CHECK (num_nulls(verified_at, source, checker) IN (0, 3));
ALTER TABLE authorised_representatives
    ADD COLUMN verified_at TIMESTAMPTZ,
    ADD COLUMN source      TEXT,
    ADD COLUMN checker     TEXT,
    ADD CONSTRAINT authorised_representatives_evidence CHECK (num_nulls(verified_at, source, checker) IN (0, 3));

-- The figures of the CRLs in use come from here: after a restart, and when nothing new is accepted, they stay true.
-- issuer_sha256 is from now on the hash of the CA's name and key, not of its certificate. Rows of the old kind have no
-- name; they go when their lists have run out, so that the version before keeps working until then.
ALTER TABLE crl_heads
    ADD COLUMN issuer_name TEXT,
    ADD COLUMN usable_until TIMESTAMPTZ;

-- What takes a sign-in from the sign-in host to the portal, and what an AR signs to sign in without a client
-- certificate. Both are good once and for a short time; old rows are deleted as new ones come.

CREATE TABLE sign_in_codes (
    -- The code itself is nowhere: who reads this table can sign nobody in.
    code_sha256        TEXT PRIMARY KEY CHECK (code_sha256 ~ '^[0-9a-f]{64}$'),
    certificate_sha256 TEXT NOT NULL REFERENCES ar_certificates (sha256),
    ar_id              TEXT NOT NULL REFERENCES authorised_representatives (id),
    redirect_uri       TEXT NOT NULL,
    code_challenge     TEXT NOT NULL,
    renewal_id         UUID,
    expires_at         TIMESTAMPTZ NOT NULL,
    used_at            TIMESTAMPTZ
);
CREATE INDEX sign_in_codes_expiry ON sign_in_codes (expires_at);

CREATE TABLE sign_in_challenges (
    id         UUID PRIMARY KEY,
    -- The very text that is signed.
    document   TEXT NOT NULL,
    renewal_id UUID,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at    TIMESTAMPTZ
);
CREATE INDEX sign_in_challenges_expiry ON sign_in_challenges (expires_at);

-- What takes a certificate that was shown to be looked at, and no more, from the sign-in host to the portal.

CREATE TABLE shown_certificates (
    code_sha256    TEXT PRIMARY KEY CHECK (code_sha256 ~ '^[0-9a-f]{64}$'),
    certificate    BYTEA NOT NULL,
    redirect_uri   TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    expires_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX shown_certificates_expiry ON shown_certificates (expires_at);

-- Access tokens that their AR signed out of before they expired, by their ids (jti). A row is of no use after that.

CREATE TABLE ended_sessions (
    token_id   TEXT PRIMARY KEY CHECK (length(token_id) <= 100),
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ended_sessions_expiry ON ended_sessions (expires_at);

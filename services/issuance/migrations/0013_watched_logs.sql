-- How far each log was read: the complete subtrees of its first `size` leaves (their hashes, largest first), which were
-- those of a tree that the log had signed. `fault` is what was wrong at the last reading.
CREATE TABLE watched_logs (
    log_id      BYTEA PRIMARY KEY,
    description TEXT NOT NULL,
    size        BIGINT NOT NULL,
    frontier    BYTEA NOT NULL,
    checked_at  TIMESTAMPTZ NOT NULL,
    fault       TEXT
);

-- What a log has of our key, and this database had not when it was read.
CREATE TABLE unknown_certificates (
    sha256   BYTEA PRIMARY KEY,
    serial   TEXT NOT NULL,
    der      BYTEA NOT NULL,
    log      TEXT NOT NULL,
    position BIGINT NOT NULL,
    seen_at  TIMESTAMPTZ NOT NULL
);

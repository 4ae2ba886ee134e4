-- An import of the register: every row of the file is checked into import_rows first, then moved into subscriptions; both
-- in batches, so that no lock is held for long and an import that was broken off goes on where it ended.
CREATE TABLE imports (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_sha256  TEXT NOT NULL,
    actor        TEXT NOT NULL,
    rows_read    BIGINT NOT NULL DEFAULT 0,
    rows_applied BIGINT NOT NULL DEFAULT 0,
    began_at     TIMESTAMPTZ NOT NULL,
    -- All rows are read and none was refused; before that nothing is applied.
    checked_at   TIMESTAMPTZ,
    ended_at     TIMESTAMPTZ
);
CREATE UNIQUE INDEX imports_one_open ON imports ((TRUE)) WHERE ended_at IS NULL;

CREATE TABLE import_rows (
    srn                TEXT PRIMARY KEY,
    subscriber_id      TEXT NOT NULL,
    subscriber_name    TEXT NOT NULL,
    ar_id              TEXT NOT NULL,
    ar_name            TEXT NOT NULL,
    product            TEXT NOT NULL,
    server_names       TEXT[] NOT NULL,
    additional_servers INTEGER NOT NULL,
    standing           TEXT NOT NULL,
    certificate        TEXT NOT NULL,
    serial             TEXT NOT NULL,
    not_after          TIMESTAMPTZ NOT NULL
);

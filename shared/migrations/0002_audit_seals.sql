-- The audit log is sealed after commit, by flag: a row that commits late is sealed late, never left out.

CREATE TABLE audit_seals (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sealed_at   TIMESTAMPTZ NOT NULL,
    row_count   INTEGER NOT NULL CHECK (row_count > 0),
    merkle_root TEXT NOT NULL,
    -- The seal before; no two seals follow the same one.
    previous    TEXT NOT NULL UNIQUE,
    head        TEXT NOT NULL UNIQUE,
    signature   TEXT NOT NULL
);
COMMENT ON TABLE audit_seals IS 'append-only: the running service may insert and read';

ALTER TABLE audit_log ADD COLUMN seal_id BIGINT REFERENCES audit_seals;
CREATE INDEX audit_log_unsealed ON audit_log (id) WHERE seal_id IS NULL;
CREATE INDEX audit_log_of_seal ON audit_log (seal_id, id);
COMMENT ON TABLE audit_log IS 'append-only but for: seal_id';

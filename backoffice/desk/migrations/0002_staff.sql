-- Who works at the desk, and as what. A certificate says who somebody is; what they may do stands here.
CREATE TABLE staff (
    -- The staff number that their certificates carry (subject serialNumber).
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    roles      TEXT[] NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    changed_by TEXT NOT NULL
);

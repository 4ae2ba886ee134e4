-- The CAs whose lists are needed, as the newest `work` process pinned them: a CA of which no list ever came is an alert
-- too, and lists of a CA that is pinned no more are deleted once they ran out.

CREATE TABLE pinned_issuers (
    -- The hash of name and key, as in crl_heads.
    issuer_sha256 TEXT PRIMARY KEY,
    name          TEXT NOT NULL
);
ALTER TABLE crl_heads DROP COLUMN issuer_name;

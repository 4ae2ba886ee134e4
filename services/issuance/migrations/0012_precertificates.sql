-- `tbs` has the precertificate's bytes, with the poison. Intents of before have none: they are replaced, not signed.
-- Each column is written once, in this order, and before the next use of the CA's key: so one serial number has one
-- precertificate and one certificate. `scts` has those collected so far, as a SignedCertificateTimestampList.
ALTER TABLE intents ADD COLUMN precertificate BYTEA;
ALTER TABLE intents ADD COLUMN scts BYTEA;
ALTER TABLE intents ADD COLUMN certificate_tbs BYTEA;

-- Signed by our key, and no order's: precertificates whose intent ended, and certificates that an operator adopted.
CREATE TABLE stray_certificates (
    serial            TEXT PRIMARY KEY,
    der               BYTEA NOT NULL,
    sha256            BYTEA NOT NULL,
    spki_sha256       BYTEA NOT NULL,
    not_before        TIMESTAMPTZ NOT NULL,
    not_after         TIMESTAMPTZ NOT NULL,
    origin            TEXT NOT NULL CHECK (origin IN ('intent-ended', 'adopted')),
    added_at          TIMESTAMPTZ NOT NULL,
    revoked_at        TIMESTAMPTZ,
    revocation_reason TEXT CHECK (revocation_reason IN ('unspecified', 'keyCompromise', 'affiliationChanged',
                          'superseded', 'cessationOfOperation', 'privilegeWithdrawn')),
    -- The first CRL that shows the revocation.
    listed_in         BIGINT,
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);
CREATE INDEX stray_certificates_of_key ON stray_certificates (spki_sha256);
CREATE INDEX stray_certificates_revoked ON stray_certificates (not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX stray_certificates_unlisted ON stray_certificates (revoked_at)
    WHERE revoked_at IS NOT NULL AND listed_in IS NULL;

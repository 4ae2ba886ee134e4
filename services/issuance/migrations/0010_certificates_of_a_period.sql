-- A self-audit takes its sample from the certificates of a period.
CREATE INDEX certificates_issued ON certificates (issued_at, serial);

-- Since when the database knows these bytes: they, or what they are the precertificate or certificate of, were adopted.
ALTER TABLE unknown_certificates ADD COLUMN known_at TIMESTAMPTZ;
UPDATE unknown_certificates AS u SET known_at = s.added_at FROM stray_certificates AS s WHERE s.sha256 = u.sha256;
CREATE INDEX unknown_certificates_open ON unknown_certificates (serial) WHERE known_at IS NULL;

-- A log that left the list of logs is not read any more: neither its age nor its fault is anybody's concern.
ALTER TABLE watched_logs ADD COLUMN watched BOOLEAN NOT NULL DEFAULT true;

-- What a mail said is blanked after a while; that it was sent, to whom and when, stays.
ALTER TABLE mails ADD COLUMN blanked_at TIMESTAMPTZ;
CREATE INDEX mails_to_blank ON mails (settled_at) WHERE blanked_at IS NULL AND state IN ('sent', 'bounced', 'dropped');

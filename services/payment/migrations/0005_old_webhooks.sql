-- A webhook is a hint: one that is repeated after the provider has given up repeating does no harm.
CREATE INDEX provider_webhooks_age ON provider_webhooks (received_at);
COMMENT ON TABLE provider_webhooks IS 'append-only, pruned: a repeated webhook changes nothing';

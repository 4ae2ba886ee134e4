-- The print process logs in as a role of its own: it sees envelopes and batches, no mail and no contact.
-- Where it prints under another role name, that role is given the same rights by hand.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'mailing_print') THEN
        GRANT SELECT ON schema_migrations TO mailing_print;
        GRANT INSERT ON audit_log TO mailing_print;
        GRANT SELECT, INSERT ON posting_batches TO mailing_print;
        GRANT UPDATE (state, due_at, closed_at, manifest_sha256) ON posting_batches TO mailing_print;
        GRANT SELECT (envelope_id, renewal_id, item_id, server_name, state, sealed, due_at, batch_id, dated_on,
                      reference, recipient, file_sha256) ON pin_envelopes TO mailing_print;
        GRANT UPDATE (state, sealed, due_at, batch_id, dated_on, reference, recipient, file_sha256, printed_at, reason)
            ON pin_envelopes TO mailing_print;
    END IF;
END
$$;

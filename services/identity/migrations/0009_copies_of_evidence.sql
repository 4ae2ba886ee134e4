-- Each evidence is copied to a topic of its own as it is attested (identity.evidence): the outbox would keep it a second
-- time for ever. The outbox is append-only for the running service; so the owner of the table blanks the data, of sent
-- copies alone, and whatever a caller asks for, never what the topic may still have to be filled with again.
CREATE INDEX outbox_copies_of_evidence ON outbox (sent_at)
    WHERE topic = 'identity.evidence' AND octet_length(data) > 0;
CREATE FUNCTION blank_copies_of_evidence(before TIMESTAMPTZ, at_most INTEGER) RETURNS SETOF BIGINT
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.outbox SET data = '' WHERE id IN (
        SELECT id FROM public.outbox
        WHERE topic = 'identity.evidence' AND octet_length(data) > 0
              AND sent_at < LEAST(before, now() - INTERVAL '46 days')
        ORDER BY sent_at LIMIT at_most FOR UPDATE SKIP LOCKED)
    RETURNING id
$$;

-- What a restore brought back, in the order in which it is read again.
CREATE INDEX outbox_recovered_evidence ON outbox (id) WHERE topic = 'identity.evidence' AND recovery_id IS NOT NULL;

-- Old CRLs are deleted after years, the newest never.
CREATE INDEX crls_age ON crls (this_update);

-- A sealed PIN is of no use once its letter is printed. The outbox is append-only for the running service, which may not
-- change an event's data; so the owner of the table does it, here and nowhere else, and for old events of that topic alone:
-- whatever a caller asks for, it leaves what a recovery of Kafka may have to send again.
CREATE INDEX outbox_sealed_pins ON outbox (sent_at)
    WHERE topic = 'issuance.pin-envelopes' AND octet_length(data) > 0;
CREATE FUNCTION blank_sealed_pins(before TIMESTAMPTZ, at_most INTEGER) RETURNS SETOF BIGINT
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.outbox SET data = '' WHERE id IN (
        SELECT id FROM public.outbox
        WHERE topic = 'issuance.pin-envelopes' AND octet_length(data) > 0
              AND sent_at < LEAST(before, now() - INTERVAL '31 days')
        ORDER BY sent_at LIMIT at_most FOR UPDATE SKIP LOCKED)
    RETURNING id
$$;

-- What waits for a person, and which batch waits for its manifest, is little among many.
CREATE INDEX mails_waiting ON mails (settled_at) WHERE state IN ('bounced', 'unconfirmed');
CREATE INDEX pin_envelopes_waiting ON pin_envelopes (received_at) WHERE state IN ('faulty', 'returned', 'printed');
CREATE INDEX posting_batches_closing ON posting_batches (number) WHERE state = 'closing';

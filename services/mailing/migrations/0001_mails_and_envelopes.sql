-- What a renewal needs from mailing: its contact, as identity attested it, and what is said in its mails.
-- Events of two topics make the row, whichever comes first.
CREATE TABLE renewals (
    renewal_id        UUID PRIMARY KEY,
    reference         TEXT,
    language          TEXT,
    subscriber        TEXT,
    recipient_name    TEXT,
    recipient_address TEXT,
    items             JSONB,
    cancelled_at      TIMESTAMPTZ,
    CHECK (num_nulls(reference, language, subscriber, recipient_name, recipient_address, items) IN (0, 6))
);

CREATE TABLE mails (
    id                UUID PRIMARY KEY,
    renewal_id        UUID NOT NULL REFERENCES renewals,
    template          TEXT NOT NULL CHECK (template IN ('csr-request', 'renewal-completed')),
    language          TEXT NOT NULL,
    recipient_name    TEXT NOT NULL,
    recipient_address TEXT NOT NULL,
    message_id        TEXT NOT NULL UNIQUE,
    content           JSONB NOT NULL,
    state             TEXT NOT NULL
                      CHECK (state IN ('queued', 'sending', 'sent', 'bounced', 'unconfirmed', 'dropped')),
    queued_at         TIMESTAMPTZ NOT NULL,
    -- Queued: not to be sent before. Sending: until then nobody else may send it.
    due_at            TIMESTAMPTZ NOT NULL,
    -- When its first sending began: the message's Date, the same in a repetition.
    dated_at          TIMESTAMPTZ,
    tries             INTEGER NOT NULL DEFAULT 0,
    -- How often it was sent again because nobody knows what became of the time before.
    repeats           INTEGER NOT NULL DEFAULT 0,
    reply_code        INTEGER,
    settled_at        TIMESTAMPTZ,
    -- One of a kind per renewal and recipient, ever.
    UNIQUE (renewal_id, template, recipient_address)
);
CREATE INDEX mails_due ON mails (due_at) WHERE state IN ('queued', 'sending');

CREATE TABLE posting_batches (
    id              UUID PRIMARY KEY,
    number          BIGINT NOT NULL UNIQUE CHECK (number > 0),
    state           TEXT NOT NULL CHECK (state IN ('open', 'closing', 'closed')),
    opened_at       TIMESTAMPTZ NOT NULL,
    closes_at       TIMESTAMPTZ NOT NULL,
    due_at          TIMESTAMPTZ NOT NULL,
    closed_at       TIMESTAMPTZ,
    manifest_sha256 TEXT,
    CHECK ((state = 'closed') = (closed_at IS NOT NULL AND manifest_sha256 IS NOT NULL))
);
CREATE UNIQUE INDEX posting_batches_one_open ON posting_batches ((TRUE)) WHERE state = 'open';

CREATE TABLE pin_envelopes (
    envelope_id       UUID PRIMARY KEY,
    renewal_id        UUID NOT NULL REFERENCES renewals,
    item_id           UUID NOT NULL,
    server_name       TEXT NOT NULL,
    state             TEXT NOT NULL
                      CHECK (state IN ('sealed', 'printing', 'printed', 'posted', 'returned', 'dropped', 'faulty')),
    -- CMS EnvelopedData for the print key; gone once the letter is on paper or dropped.
    sealed            BYTEA,
    received_at       TIMESTAMPTZ NOT NULL,
    due_at            TIMESTAMPTZ NOT NULL,
    batch_id          UUID REFERENCES posting_batches,
    dated_on          DATE,
    reference         TEXT,
    recipient         TEXT,
    file_sha256       TEXT,
    printed_at        TIMESTAMPTZ,
    registered_number TEXT UNIQUE,
    posted_on         DATE,
    returned_on       DATE,
    reason            TEXT,
    CHECK ((state IN ('sealed', 'printing', 'faulty')) = (sealed IS NOT NULL)),
    CHECK (state NOT IN ('printing', 'printed', 'posted', 'returned') OR (batch_id IS NOT NULL AND dated_on IS NOT NULL)),
    CHECK (state NOT IN ('printed', 'posted', 'returned')
           OR num_nulls(reference, recipient, file_sha256, printed_at) = 0),
    CHECK ((state IN ('posted', 'returned')) = (registered_number IS NOT NULL AND posted_on IS NOT NULL)),
    CHECK ((state = 'returned') = (returned_on IS NOT NULL)),
    CHECK (state NOT IN ('returned', 'dropped', 'faulty') OR reason IS NOT NULL)
);
CREATE INDEX pin_envelopes_due ON pin_envelopes (due_at) WHERE state IN ('sealed', 'printing');
CREATE INDEX pin_envelopes_renewal ON pin_envelopes (renewal_id);
CREATE INDEX pin_envelopes_batch ON pin_envelopes (batch_id);
-- Two letters with two PINs for one server name are never under way at once.
CREATE UNIQUE INDEX pin_envelopes_one_live ON pin_envelopes (item_id, server_name)
    WHERE state NOT IN ('returned', 'dropped');

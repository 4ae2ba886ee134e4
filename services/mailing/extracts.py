"""Extract of mailing's own facts: e-mails by Message-ID, and PIN Envelopes."""

from typing import Final

from shared.security.signed_extract import Table

TABLES: Final = (
    Table(
        name="mail",
        # One about a subscriber's persons has no renewal: a finding names the subscriber.
        query="""SELECT message_id, COALESCE(renewal_id::text, subscriber_id) AS renewal_id, template, state, queued_at,
                        settled_at
                 FROM mails ORDER BY message_id""",
    ),
    Table(
        name="envelope",
        query="""SELECT envelope_id AS id, renewal_id, item_id, state, received_at, printed_at, posted_on
                 FROM pin_envelopes ORDER BY envelope_id""",
    ),
)

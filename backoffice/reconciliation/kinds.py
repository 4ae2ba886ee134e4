"""Kinds of divergence, one query each: the renewal concerned (if any), and the difference.

`:horizon` is the time before which all steps must have finished: younger records may be under way. `:since` is the time
before which records of topics and inboxes may have been pruned.
"""

from typing import Final

from backoffice.reconciliation.kind import kind
from backoffice.reconciliation.money_kinds import MONEY

# Topics that are not read: sealed PINs and changes of the register are compared by their readers' inboxes, evidence by
# its attestations.
_READ: Final = "topic NOT IN ('issuance.pin-envelopes', 'identity.evidence', 'identity.register')"
# The newest event of each key that every consumer must have applied.
_DUE: Final = """SELECT topic, key, max(sequence) AS sequence FROM event
                 WHERE time < :horizon AND time >= :since GROUP BY topic, key"""

EVENTS: Final = (
    kind(
        "event-missing-in-outbox",
        "a topic has an event that its writer does not know: a restored writer without `recall`, or a forger",
        """SELECT r.key, r.topic || ' ' || r.sequence || ' ' || r.type FROM record AS r
           WHERE r.time < :horizon AND NOT EXISTS (
               SELECT 1 FROM event AS e WHERE e.topic = r.topic AND e.key = r.key AND e.sequence = r.sequence)""",
        "topics",
    ),
    kind(
        "event-differs",
        "topic and outbox have another event, or other data, under one number",
        """SELECT r.key, r.topic || ' ' || r.sequence || ': ' || r.type || ', in the outbox ' || e.type
           FROM record AS r JOIN event AS e ON e.topic = r.topic AND e.key = r.key AND e.sequence = r.sequence
           WHERE (r.id, r.type, r.data_sha256) <> (e.id, e.type, e.data_sha256)""",
        "topics",
    ),
    kind(
        "event-missing-in-topic",
        "an outbox row counts as sent, but its topic lacks it: Kafka lost it, or was made again",
        f"""SELECT e.key, e.topic || ' ' || e.sequence || ' ' || e.type FROM event AS e
           WHERE e.sent AND e.time >= :since AND e.{_READ} AND NOT EXISTS (
               SELECT 1 FROM record AS r WHERE r.topic = e.topic AND r.key = e.key AND r.sequence = e.sequence)""",
        "topics",
    ),
    kind(
        "event-not-sent",
        "an outbox row waits: the relay stands still, or cannot send it",
        """SELECT key, topic || ' ' || sequence || ' ' || type FROM event WHERE NOT sent AND time < :horizon""",
    ),
    kind(
        "sequence-gap",
        "an outbox has a hole in a key's numbers, or counts on from another one",
        """SELECT e.key, e.topic || ': ' || count(*) || ' events, the last is ' || max(e.sequence) || ', counted to '
                  || COALESCE(c.sequence, 'nothing')
           FROM event AS e LEFT JOIN counter AS c ON c.topic = e.topic AND c.key = e.key
           GROUP BY e.topic, e.key
           HAVING count(*) <> max(e.sequence) OR c.sequence IS NULL OR c.sequence <> max(e.sequence)
           UNION ALL
           SELECT c.key, c.topic || ': counted to ' || c.sequence || ' without an event' FROM counter AS c
           WHERE NOT EXISTS (SELECT 1 FROM event AS e WHERE e.topic = c.topic AND e.key = c.key)""",
    ),
    kind(
        "consumer-behind",
        "a service has not applied what it should have",
        f"""SELECT d.key, s.service || ' has ' || d.topic || ' up to ' || COALESCE(i.sequence, 0) || ', not '
                  || d.sequence
           FROM ({_DUE}) AS d JOIN reads AS s ON s.topic = d.topic
           LEFT JOIN inbox AS i ON i.service = s.service AND i.topic = d.topic AND i.key = d.key
           WHERE COALESCE(i.sequence, 0) < d.sequence AND i.held IS NULL""",
    ),
    kind(
        "consumer-ahead",
        "a service has applied more than was ever announced: its writer was restored, or somebody forged an event",
        """SELECT i.key, i.service || ' has ' || i.topic || ' up to ' || i.sequence || ', announced are '
                  || COALESCE((SELECT max(e.sequence) FROM event AS e WHERE e.topic = i.topic AND e.key = i.key), 0)
           FROM inbox AS i
           WHERE i.sequence > 0
             AND NOT EXISTS (SELECT 1 FROM event AS e
                             WHERE e.topic = i.topic AND e.key = i.key AND e.sequence >= i.sequence)
             AND NOT EXISTS (SELECT 1 FROM record AS r
                             WHERE r.topic = i.topic AND r.key = i.key AND r.sequence >= i.sequence)""",
    ),
    kind(
        "consumer-read-another-event",
        "a service applied an event that its writer has under another id",
        """SELECT i.key, i.service || ' applied ' || i.topic || ' ' || i.sequence || ' as ' || i.event_id
                  || ', announced is ' || e.id
           FROM inbox AS i JOIN event AS e ON e.topic = i.topic AND e.key = i.key AND e.sequence = i.sequence
           WHERE i.event_id IS NOT NULL AND i.event_id <> e.id
             -- A skipped event without a readable id.
             AND i.event_id <> '00000000-0000-0000-0000-000000000000'""",
    ),
    kind(
        "event-held",
        "a service holds an event: an operator must look",
        """SELECT key, service || ' holds ' || topic || ' ' || COALESCE(sequence, '?') || ': ' || reason
           FROM held WHERE since < :horizon""",
    ),
)

CERTIFICATES: Final = (
    kind(
        "completed-without-certificate",
        "a renewal is completed, or an item issued, without a certificate at issuance",
        """SELECT r.id, 'the renewal is completed' FROM application_renewal AS r
           WHERE r.state = 'completed' AND r.ended_at < :horizon AND NOT EXISTS (
               SELECT 1 FROM application_item AS i JOIN issuance_certificate AS c ON c.item_id = i.id
               WHERE i.renewal_id = r.id)
           UNION ALL
           SELECT i.renewal_id, 'item ' || i.id || ' is ' || i.state FROM application_item AS i
           LEFT JOIN issuance_certificate AS c ON c.item_id = i.id AND c.serial = i.serial
           WHERE i.state IN ('issued', 'accepted') AND c.serial IS NULL""",
    ),
    kind(
        "certificate-without-order",
        "issuance has a certificate that nobody ordered",
        """SELECT c.renewal_id, 'certificate ' || c.serial FROM issuance_certificate AS c
           LEFT JOIN application_item AS i ON i.id = c.item_id LEFT JOIN issuance_order AS o ON o.id = c.item_id
           WHERE c.issued_at < :horizon AND (i.id IS NULL OR o.id IS NULL)""",
    ),
    kind(
        "certificate-not-known",
        "a certificate was issued for an item that application does not count as issued",
        """SELECT c.renewal_id, 'certificate ' || c.serial || ', the item is ' || i.state
           FROM issuance_certificate AS c JOIN application_item AS i ON i.id = c.item_id
           WHERE c.issued_at < :horizon AND (i.state NOT IN ('issued', 'accepted') OR i.serial <> c.serial)""",
    ),
    kind(
        "delay-not-known",
        "a certificate waits, and application shows its AR other obstacles than issuance announced",
        """SELECT o.renewal_id, 'item ' || o.id FROM issuance_order AS o JOIN application_item AS i ON i.id = o.id
           WHERE o.state = 'csr-received' AND i.state = 'csr-received' AND i.obstacles_sha256 <> o.obstacles_sha256
             AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.topic = 'issuance.events' AND e.key = o.renewal_id
                             AND e.time >= :horizon)""",
    ),
    kind(
        "certificate-without-payment",
        "a certificate was issued for which payment captured nothing, and not as a reissue, which is free",
        """SELECT c.renewal_id, 'certificate ' || c.serial || ', the payment is ' || COALESCE(p.state, 'unknown')
           FROM issuance_certificate AS c LEFT JOIN payment_payment AS p ON p.renewal_id = c.renewal_id
           WHERE (p.state IS NULL OR p.state <> 'captured')
             AND NOT EXISTS (SELECT 1 FROM application_renewal AS a
                             WHERE a.id = c.renewal_id AND a.amount_minor = 0)""",
    ),
    kind(
        "issued-and-refunded",
        "an item has a certificate in force, and its money went back",
        """SELECT c.renewal_id, 'certificate ' || c.serial || ', refund ' || r.id FROM issuance_certificate AS c
           JOIN payment_refund AS r ON r.renewal_id = c.renewal_id AND (r.item_id = c.item_id OR r.item_id IS NULL)
           WHERE c.revoked_at IS NULL AND r.state = 'refunded'
             AND (r.item_id IS NOT NULL OR NOT EXISTS (
                 SELECT 1 FROM application_item AS i WHERE i.renewal_id = c.renewal_id AND i.id <> c.item_id))""",
    ),
    kind(
        "issued-although-withheld",
        "issuance has said never, and has a certificate",
        """SELECT c.renewal_id, 'certificate ' || c.serial FROM issuance_certificate AS c
           JOIN issuance_gate AS g ON g.renewal_id = c.renewal_id WHERE g.withheld_at IS NOT NULL""",
    ),
    kind(
        "proof-differs",
        "document, attestation or receipt are not the same at the services that have them",
        """SELECT a.id, 'application and payment: document' FROM application_renewal AS a
           JOIN payment_payment AS p ON p.renewal_id = a.id WHERE a.document_sha256 <> p.document_sha256
           UNION ALL
           SELECT a.id, 'application and payment: receipt' FROM application_renewal AS a
           JOIN payment_payment AS p ON p.renewal_id = a.id WHERE a.receipt_sha256 <> p.receipt_sha256
           UNION ALL
           SELECT a.id, 'application and identity: attestation' FROM application_renewal AS a
           WHERE a.submitted_at < :horizon AND NOT EXISTS (
               SELECT 1 FROM identity_evidence AS e WHERE e.renewal_id = a.id
               AND e.document_sha256 = a.document_sha256 AND e.attestation_sha256 = a.attestation_sha256)
           UNION ALL
           SELECT i.id, 'issuance and application: document, attestation or receipt' FROM issuance_renewal AS i
           LEFT JOIN application_renewal AS a ON a.id = i.id
           WHERE a.id IS NULL OR (i.document_sha256, i.attestation_sha256) <> (a.document_sha256, a.attestation_sha256)
              OR i.receipt_sha256 <> a.receipt_sha256""",
    ),
)

PAPER: Final = (
    kind(
        "mail-unknown",
        "the mail server took a mail that mailing does not know as sent",
        """SELECT m.renewal_id, d.message_id || ', ' || COALESCE(m.state, 'unknown') FROM delivery AS d
           LEFT JOIN mailing_mail AS m ON m.message_id = d.message_id
           WHERE m.message_id IS NULL OR (m.state = 'queued' AND m.queued_at < :horizon)""",
        "mail",
    ),
    kind(
        "mail-missing",
        "mailing says that a mail was sent, the mail server never had it",
        """SELECT m.renewal_id, m.message_id || ', ' || m.template FROM mailing_mail AS m
           LEFT JOIN delivery AS d ON d.message_id = m.message_id
           WHERE m.state = 'sent' AND m.settled_at < :horizon AND d.message_id IS NULL""",
        "mail",
    ),
    kind(
        "mail-more-than-twice",
        "a mail was sent more often than one lost answer explains",
        """SELECT m.renewal_id, d.message_id || ', ' || count(*) || ' times' FROM delivery AS d
           LEFT JOIN mailing_mail AS m ON m.message_id = d.message_id GROUP BY d.message_id HAVING count(*) > 2""",
        "mail",
    ),
    kind(
        "mail-not-sent",
        "a mail waits, or its fate is not known",
        """SELECT renewal_id, message_id || ', ' || state FROM mailing_mail
           WHERE state IN ('queued', 'sending', 'unconfirmed') AND queued_at < :horizon""",
    ),
    kind(
        "envelope-missing",
        "a PIN was sealed for a letter that mailing does not have",
        """SELECT p.renewal_id, 'envelope ' || p.id FROM issuance_pin AS p
           LEFT JOIN mailing_envelope AS e ON e.id = p.id
           WHERE p.state IN ('sealed', 'spent') AND p.planned_at < :horizon AND e.id IS NULL""",
    ),
    kind(
        "envelope-unknown",
        "mailing has a letter whose PIN issuance never made",
        """SELECT e.renewal_id, 'envelope ' || e.id FROM mailing_envelope AS e
           LEFT JOIN issuance_pin AS p ON p.id = e.id WHERE p.id IS NULL OR p.state = 'planned'""",
    ),
    kind(
        "envelope-not-printed",
        "a sealed PIN was never printed",
        """SELECT renewal_id, 'envelope ' || id || ', ' || state FROM mailing_envelope
           WHERE state IN ('sealed', 'printing', 'faulty') AND received_at < :horizon""",
    ),
    kind(
        "envelope-not-posted",
        "a printed letter was never posted",
        """SELECT renewal_id, 'envelope ' || id || ', printed ' || printed_at FROM mailing_envelope
           WHERE state = 'printed' AND printed_at < :posted_before""",
    ),
)

RECORDS: Final = (
    kind(
        "audit-broken",
        "a service's audit log does not fit its seals: somebody changed it",
        """SELECT NULL, service || ', seal ' || seal_id || ': ' || what FROM finding""",
    ),
    kind(
        "audit-cut",
        "a service's audit log lacks the head that the extract before it had: its end was cut off",
        """SELECT NULL, e.service || ' lacks the head ' || e.head FROM earlier_seal AS e
           JOIN extract AS x ON x.service = e.service LEFT JOIN seal AS s ON s.service = e.service AND s.head = e.head
           WHERE s.head IS NULL""",
        "earlier",
    ),
    kind(
        "audit-not-sealed",
        "a service's audit rows wait for their seal: its `work` stands still",
        """SELECT NULL, service || ': ' || count(*) || ' rows, the first of ' || min(time) FROM unsealed
           WHERE time < :horizon GROUP BY service""",
    ),
    kind(
        "extract-stale",
        "a service's extract is too old: its export does not run",
        """SELECT NULL, service || ' of ' || taken_at FROM extract WHERE stale""",
    ),
)

ALL: Final = (*EVENTS, *MONEY, *CERTIFICATES, *PAPER, *RECORDS)

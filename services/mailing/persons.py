"""E-mails about the persons of a subscriber: changes of identity's register, for every AR in office.

Recipients come from identity's own topic, which identity alone can write. An event carries no text but the names of the
organisation and its ARs, from the register.
"""

import uuid
from typing import Final

from services.mailing import store
from services.mailing.domain import Mail, Template, mail_address, message_id, one_line
from shared import audit
from shared.effect_ids import effect_id
from shared.events.identity import ECertRolledOver, Recipient
from shared.tx import Tx
from shared.vocabulary import HONG_KONG, Language, SubscriberId

_ACTOR: Final = "mailing"


def on_ecert_rolled_over(tx: Tx, event: ECertRolledOver, *, domain: str) -> None:
    """Queue the e-mail about a new e-Cert to every AR in office. Raises AddressRefused, which holds the event."""
    content: dict[str, object] = {
        "reference": one_line(event.serial.upper()),
        "subscriber": one_line(event.subscriber_name),
        "representative": one_line(event.ar_name),
        "registered_on": event.registered_at.astimezone(HONG_KONG).date().isoformat(),
    }
    occasion = effect_id("ecert-rolled-over", event.certificate_sha256)
    for recipient in event.recipients:
        _queue(tx, event.subscriber_id, recipient, Template.ECERT_ROLLED_OVER, content, occasion, domain)


def _queue(
    tx: Tx,
    subscriber_id: SubscriberId,
    recipient: Recipient,
    template: Template,
    content: dict[str, object],
    occasion: uuid.UUID,
    domain: str,
) -> None:
    """Queue an e-mail, in the language of the newest one about a renewal to the same address, else in English."""
    address = mail_address(recipient.email)
    about = effect_id("subscriber", subscriber_id)
    mail = Mail(
        id=effect_id("mail", about, None, template, address, occasion),
        renewal_id=None,
        subscriber_id=subscriber_id,
        occasion=occasion,
        template=template,
        language=store.find_language(tx.conn, address) or Language.ENGLISH,
        recipient_name=one_line(recipient.name),
        recipient_address=address,
        message_id=message_id(about, template, address, domain, None, occasion),
        content=content,
        traceparent=tx.traceparent,
    )
    if store.add_mail(tx.conn, mail, tx.now, tx.now):
        audit.record(tx, actor=_ACTOR, action="mail-queued", subject=mail.about, details={"template": template.value})

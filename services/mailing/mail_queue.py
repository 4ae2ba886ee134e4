"""Queue of e-mails to the AR: each is addressed to the attested contact, and composed when it is sent."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.mailing import store
from services.mailing.domain import MAIL_DELAYS, Contact, Mail, Template, message_id
from shared import audit
from shared.effect_ids import effect_id
from shared.tx import Tx
from shared.vocabulary import ItemId, Language, RenewalId

ACTOR: Final = "mailing"
Content = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Post:
    """Settings that all e-mails share: the domain of Message-IDs, and the portal's address."""

    domain: str
    portal: str

    def link(self, renewal_id: RenewalId, language: Language) -> str:
        """Return the address of the renewal's page. It is no secret: the page requires a sign-in."""
        return f"{self.portal.rstrip('/')}/{language.lower()}/renewals/{renewal_id}"


def queue_mail(
    tx: Tx,
    renewal_id: RenewalId,
    contact: Contact,
    post: Post,
    template: Template,
    content: Content,
    item_id: ItemId | None = None,
    occasion: uuid.UUID | None = None,
) -> None:
    """Queue an e-mail to the AR, unless the same one was queued; another one on an earlier occasion is dropped."""
    address = contact.recipient_address
    mail = Mail(
        id=effect_id("mail", renewal_id, item_id, template, address, *([] if occasion is None else [occasion])),
        renewal_id=renewal_id,
        item_id=item_id,
        occasion=occasion,
        template=template,
        language=contact.language,
        recipient_name=contact.recipient_name,
        recipient_address=address,
        message_id=message_id(renewal_id, template, address, post.domain, item_id, occasion),
        content={
            "reference": contact.reference,
            "subscriber": contact.subscriber,
            "link": post.link(renewal_id, contact.language),
            **content,
        },
        traceparent=tx.traceparent,
    )
    if not store.add_mail(tx.conn, mail, tx.now, tx.now + MAIL_DELAYS.get(template, timedelta())):
        return
    if occasion is not None:
        store.drop_earlier_mails(tx.conn, mail, tx.now)
    audit.record(tx, actor=ACTOR, action="mail-queued", subject=str(renewal_id), details={"template": template.value})

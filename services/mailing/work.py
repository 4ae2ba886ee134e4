"""Task of mailing: send due e-mails, one at a time, and record each outcome."""

from datetime import timedelta

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from services.mailing import store
from services.mailing.domain import (
    REPEATS_ALLOWED,
    VOID_AFTER_CANCELLATION,
    Mail,
    Mailer,
    MailState,
    Sending,
    Template,
    is_given_up,
    pause_before_next_try,
)
from services.mailing.mail_queue import ACTOR
from services.mailing.messages import Composer
from services.mailing.refusals import MailOutcomeUnknown, MailRefused, MailServerUnavailable
from shared import audit
from shared.db import Pool
from shared.events.mailing import CSRRequestSent, MailBounced
from shared.messaging import outbox
from shared.observability import tracing
from shared.observability.metrics import preset
from shared.runtime.task_loop import claimed
from shared.tx import Clock, Tx, transaction, utc_now

log = structlog.get_logger()

SENDINGS = preset(
    Counter("mailing_sendings_total", "Delivery attempts by outcome", ["template", "outcome"]),
    Template,
    ("sent", "bounced", "unconfirmed", "put-off", "unknown", "dropped", "known"),
)
FAULTY = Gauge("mailing_faulty_envelopes", "PIN Envelopes that could not be printed and await an operator")


def send_next(pool: Pool, mailer: Mailer, composer: Composer, *, lease: timedelta, clock: Clock = utc_now) -> bool:
    """Send one due e-mail. Returns whether there was one. The lease must outlast the longest conversation."""
    with transaction(pool, clock=clock) as tx:
        sending = store.claim_due_mail(tx.conn, tx.now, tx.now + lease)
        if sending is None:
            return False
        if _is_settled(tx, sending):
            return True
    with claimed(), tracing.span("send e-mail", parent=sending.mail.traceparent, kind=SpanKind.CLIENT):
        if sending.repeats > REPEATS_ALLOWED:
            with transaction(pool, clock=clock) as tx:
                _unconfirmed(tx, sending)
        else:
            _send(pool, mailer, composer, sending, clock)
    return True


def _is_settled(tx: Tx, sending: Sending) -> bool:
    """Settle a claimed e-mail that must not be sent: its renewal was cancelled meanwhile, or it was sent before.

    A restored database loses what it sent; `recall` brings back what it announced. Later attempts were requested by an
    operator or by the mail server.
    """
    mail = sending.mail
    if (
        mail.renewal_id is not None
        and mail.template in VOID_AFTER_CANCELLATION
        and store.is_cancelled(tx.conn, mail.renewal_id)
    ):
        store.settle(tx.conn, sending, MailState.DROPPED, tx.now)
        _record_outcome(tx, sending, "mail-dropped")
        return True
    if sending.tries == 1 and store.was_announced_sent(tx.conn, mail):
        store.settle(tx.conn, sending, MailState.SENT, tx.now)
        _record_outcome(tx, sending, "mail-known")
        return True
    return False


def _send(pool: Pool, mailer: Mailer, composer: Composer, sending: Sending, clock: Clock) -> None:
    message = composer.compose(sending.mail, sending.dated_at)
    try:
        mailer.send(sending.mail.recipient_address, message)
    except MailRefused as refusal:
        with transaction(pool, clock=clock) as tx:
            _bounced(tx, sending, refusal.code)
    except MailServerUnavailable as trouble:
        with transaction(pool, clock=clock) as tx:
            _put_off(tx, sending, trouble)
    except MailOutcomeUnknown:
        with transaction(pool, clock=clock) as tx:
            _repeat(tx, sending)
    else:
        with transaction(pool, clock=clock) as tx:
            _sent(tx, sending)


def _sent(tx: Tx, sending: Sending) -> None:
    mail = sending.mail
    _lock_renewal(tx, mail)
    if not store.settle(tx.conn, sending, MailState.SENT, tx.now, 250):
        return
    if mail.renewal_id is not None and mail.template is Template.CSR_REQUEST:
        outbox.add(tx, CSRRequestSent(renewal_id=mail.renewal_id, message_id=mail.message_id, sent_at=tx.now))
    _record_outcome(tx, sending, "mail-sent")


def _bounced(tx: Tx, sending: Sending, code: int) -> None:
    mail = sending.mail
    _lock_renewal(tx, mail)
    if store.settle(tx.conn, sending, MailState.BOUNCED, tx.now, code):
        if mail.renewal_id is not None:
            bounced = MailBounced(
                renewal_id=mail.renewal_id, message_id=mail.message_id, reply_code=code, template=mail.template
            )
            outbox.add(tx, bounced)
        _record_outcome(tx, sending, "mail-bounced", code)
        log.warning("mail.bounced", mail_id=str(mail.id), template=mail.template, reply_code=code)


def _lock_renewal(tx: Tx, mail: Mail) -> None:
    if mail.renewal_id is not None:
        store.lock_renewal(tx.conn, mail.renewal_id)


def _put_off(tx: Tx, sending: Sending, trouble: MailServerUnavailable) -> None:
    """Schedule the next attempt of an e-mail that was not accepted, unless the server has deferred it for days."""
    if trouble.code is not None and is_given_up(sending, tx.now):
        _bounced(tx, sending, trouble.code)
        return
    pause = pause_before_next_try(sending.tries, answered=trouble.code is not None)
    store.put_off(tx.conn, sending, tx.now + pause, state=MailState.QUEUED)
    SENDINGS.labels(sending.mail.template, "put-off").inc()
    log.warning("mail.put_off", mail_id=str(sending.mail.id), error=str(trouble), seconds=pause.total_seconds())


def _repeat(tx: Tx, sending: Sending) -> None:
    """Handle an unknown outcome: the next claim sends the e-mail again with the same Message-ID, or gives it to an
    operator.
    """
    store.put_off(tx.conn, sending, tx.now + timedelta(seconds=1), state=MailState.SENDING)
    SENDINGS.labels(sending.mail.template, "unknown").inc()
    log.warning("mail.outcome_unknown", mail_id=str(sending.mail.id), repeats=sending.repeats)


def _unconfirmed(tx: Tx, sending: Sending) -> None:
    if store.settle(tx.conn, sending, MailState.UNCONFIRMED, tx.now):
        _record_outcome(tx, sending, "mail-unconfirmed")
        log.error("mail.unconfirmed", mail_id=str(sending.mail.id))


def _record_outcome(tx: Tx, sending: Sending, action: str, code: int | None = None) -> None:
    """Count the outcome and add its audit row."""
    SENDINGS.labels(sending.mail.template, action.removeprefix("mail-")).inc()
    audit.record(
        tx,
        actor=ACTOR,
        action=action,
        subject=sending.mail.about,
        details={
            "template": sending.mail.template.value,
            "message_id": sending.mail.message_id,
            "tries": sending.tries,
            "reply_code": code,
        },
    )

"""Eligibility of a certificate for online renewal, with the reason and advice if there is none."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from services.application.period import today
from services.application.subscription import Subscription
from shared.pki.dated_rules import organisation_reusable_until
from shared.pki.orderable import can_be_ordered
from shared.validation.subscriber_record import check_name, is_accepted
from shared.web.auth import Caller

_VERIFY = "Ask the CA to verify your organisation and your authority again, then sign in again."
_POST_OFFICE = "Apply with the form and its documents at any post office."
ADVICE: Final = {
    "ar-changed": "Another person is the Authorised Representative of record. " + _POST_OFFICE,
    "expired": "The paid period has ended and can no longer be renewed. " + _POST_OFFICE,
    "suspended": "The certificate is suspended. Ask the CA to lift the suspension first.",
    "revoked": "The certificate was revoked. Have another one issued within the paid period, then renew that one.",
    "names-not-certifiable": "Its server names can no longer stand in a certificate. " + _POST_OFFICE,
    "record-unusable": "The register's name of its subscriber cannot stand in a certificate. Ask the CA to correct it.",
    "evidence-unknown": "It is not recorded when your organisation was verified. " + _VERIFY,
    "evidence-lapsing": "Your organisation, or your authority to act for it, was verified too long ago. " + _VERIFY,
    "being-renewed": "A renewal of this certificate is already under way. Continue or cancel that one.",
    "too-early": "The next year cannot be bought yet: it follows the one that is paid for. Come back on the day named.",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits that the operator sets.

    `evidence_margin` is the time that a renewal normally takes, at the end of which its evidence may still be used;
    `opens_days` the days before the end of the paid period from which the next year can be bought.
    """

    evidence_margin: timedelta
    opens_days: int


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """The eligibility of a certificate.

    `reason` is None if it can be renewed. Days are those of Hong Kong: renewal opens on `opens_on`, and is `late` after
    `renew_by`, a month before the end of the paid period. `evidence_until` is the last moment at which a certificate
    may be signed on today's register evidence, None if that is unknown.
    """

    reason: str | None
    late: bool
    opens_on: date
    renew_by: date
    evidence_until: datetime | None

    @property
    def advice(self) -> str | None:
        """Advice if the certificate cannot be renewed."""
        return None if self.reason is None else ADVICE[self.reason]


def judge(
    subscription: Subscription, *, being_renewed: bool, caller: Caller, now: datetime, limits: Limits
) -> Eligibility:
    """Return the eligibility of a certificate of the caller's subscriber.

    The paid period decides on early, late and expired, not the certificate, which may have ended within it.
    """
    until = _evidence_until(caller, now)
    period, day = subscription.period, today(now)
    opens_on, renew_by = period.opens_on(limits.opens_days), month_before(period.last)
    return Eligibility(
        reason=_standing(subscription)
        or _reason(subscription, being_renewed=being_renewed, caller=caller, now=now)
        or ("too-early" if day < opens_on else None)
        or _evidence_reason(until, now + limits.evidence_margin),
        late=day > renew_by,
        opens_on=opens_on,
        renew_by=renew_by,
        evidence_until=until,
    )


def judge_reissue(subscription: Subscription, *, being_renewed: bool, caller: Caller, now: datetime) -> str | None:
    """Return why another certificate cannot be issued within the paid period; None if it can.

    The certificate may have ended or be revoked: that is what reissues are for. Evidence need only be valid today.
    """
    standing = None if subscription.standing == "revoked" else _standing(subscription)
    return (
        standing
        or _reason(subscription, being_renewed=being_renewed, caller=caller, now=now)
        or _evidence_reason(_evidence_until(caller, now), now)
    )


def _standing(subscription: Subscription) -> str | None:
    return None if subscription.standing == "active" else subscription.standing


def _reason(subscription: Subscription, *, being_renewed: bool, caller: Caller, now: datetime) -> str | None:
    if subscription.period.ends_at <= now:
        return "expired"
    if subscription.ar_id != caller.ar_id:
        return "ar-changed"
    if not can_be_ordered(subscription.product, subscription.server_names):
        return "names-not-certifiable"
    if not is_accepted(lambda: check_name("subscriber_name", subscription.subscriber_name)):
        return "record-unusable"
    return "being-renewed" if being_renewed else None


def _evidence_until(caller: Caller, now: datetime) -> datetime | None:
    organisation, authority = caller.organisation_verified_at, caller.authority_verified_at
    if organisation is None or authority is None:
        return None
    return organisation_reusable_until(min(organisation, authority), now)


def _evidence_reason(until: datetime | None, needed_until: datetime) -> str | None:
    if until is None:
        return "evidence-unknown"
    return "evidence-lapsing" if until < needed_until else None


def month_before(day: date) -> date:
    """Return the day one calendar month earlier; the last day of the month if it has no such day."""
    year, month = (day.year - 1, 12) if day.month == 1 else (day.year, day.month - 1)
    return date(year, month, min(day.day, monthrange(year, month)[1]))

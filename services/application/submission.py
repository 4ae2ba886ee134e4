"""Drafting and submission of renewals: choice, quote, document, submission."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.application import document, eligibility, price_store, prices, store, timeline_store
from services.application.csr_requests import ask_for_csrs
from services.application.domain import (
    CURRENCY,
    DEADLINES,
    Item,
    ItemState,
    Renewal,
    RenewalKind,
    RenewalState,
    Submit,
    SubmitReissue,
)
from services.application.eligibility import Limits
from services.application.period import Period
from services.application.prices import Price
from services.application.refusals import (
    DocumentTooOld,
    NoAdditionalServers,
    NotEligible,
    RenewalNotFound,
    ServerNamesFixed,
    ServerNamesRefused,
    TooEarly,
    WrongAttestation,
)
from services.application.subscription import Subscription
from services.application.timeline import TimelineEvent
from shared import audit
from shared.events.application import ItemFee, RenewalSubmitted
from shared.messaging import outbox
from shared.pki.names import NameRefused, server_name
from shared.pki.orderable import NotOrderable, check_names
from shared.security import proofs
from shared.security.proofs import ProofRefused
from shared.security.tokens import KeySet, SigningKey, TokenKind, TokenRefused, sign, verify
from shared.tx import Tx
from shared.vocabulary import ItemId, Language, Product, RenewalId
from shared.web.auth import Caller


@dataclass(frozen=True, kw_only=True)
class DraftItem:
    """A certificate to renew; `additional_servers` or `server_names` None keeps the present ones."""

    srn: str
    additional_servers: int | None
    server_names: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DraftRenewal:
    """The AR's choice of certificates."""

    kind: RenewalKind
    items: tuple[DraftItem, ...]
    language: Language


def draft_renewal(tx: Tx, command: DraftRenewal, caller: Caller, *, limits: Limits) -> Renewal:
    """Quote the chosen certificates and write the document to sign. Raises NotEligible, TooEarly.

    NoAdditionalServers, ServerNamesFixed or ServerNamesRefused if what was chosen cannot be had.
    """
    chosen = {item.srn: item for item in command.items}
    subscriptions = _eligible(tx, command.kind, sorted(chosen), caller, limits)
    renewal_id = RenewalId(tx.new_id())
    in_force = prices.in_force(price_store.find_prices(tx.conn), tx.now)
    items = [
        _item(tx, command.kind, renewal_id, position, subscription, chosen[subscription.srn], in_force)
        for position, subscription in enumerate(subscriptions, start=1)
    ]
    reference = _reference(tx, "R")
    written = document.write(
        kind=command.kind,
        renewal_id=renewal_id,
        reference=reference,
        nonce=tx.new_id().hex,
        language=command.language,
        now=tx.now,
        subscription=subscriptions[0],
        items=items,
        price_version=None if command.kind is RenewalKind.REISSUE else in_force[0].version,
    )
    renewal = Renewal(
        id=renewal_id,
        kind=command.kind,
        reference=reference,
        subscriber_id=caller.subscriber_id,
        subscriber_name=subscriptions[0].subscriber_name,
        ar_id=caller.ar_id,
        language=command.language,
        state=RenewalState.DRAFT,
        document=written.text,
        document_sha256=written.sha256,
        amount_minor=sum(item.amount_minor for item in items),
        currency=CURRENCY,
        created_at=tx.now,
    )
    store.add_renewal(tx.conn, renewal, items)
    audit.record(tx, actor=caller.ar_id, action="renewal-drafted", subject=str(renewal.id))
    return renewal


def submit_renewal(
    tx: Tx,
    renewal_id: RenewalId,
    attestation: str,
    caller: Caller,
    *,
    keys: KeySet,
    limits: Limits,
    key: SigningKey,
) -> Renewal:
    """Submit the signed application: check everything again, claim the subscriptions, request the payment.

    For a reissue nothing is to be paid: application signs the entitlement with `key`, and requests the CSRs at once.
    The age of the register evidence is the attestation's, which issuance will judge, too.
    Raises RenewalNotFound, InvalidTransition, WrongAttestation, DocumentTooOld, NotEligible,
    TooEarly.
    """
    was = store.lock_own_renewal(tx.conn, renewal_id, caller.subscriber_id)
    if was is None:
        raise RenewalNotFound("there is no such renewal")
    if was.attestation == attestation:
        return was  # submitted with this same signature; the answer was lost with the database that had its key
    trigger = SubmitReissue if was.kind is RenewalKind.REISSUE else Submit
    renewal = replace(was.after(trigger, tx.now), attestation=attestation, submitted_at=tx.now)
    caller = _attested(tx, attestation, keys, renewal, caller)
    if renewal.submit_before <= tx.now:
        raise DocumentTooOld("the document is older than a day")
    items = store.find_items(tx.conn, renewal.id)
    _check_unchanged(was.kind, items, _eligible(tx, was.kind, [item.srn for item in items], caller, limits))
    if was.kind is RenewalKind.REISSUE:
        renewal = replace(renewal, receipt=_entitlement(tx, renewal, key))
    if not store.open_items(tx.conn, renewal.id):
        raise NotEligible(items[0].srn, "being-renewed", eligibility.ADVICE["being-renewed"])
    store.save_transition(tx.conn, was, renewal, tx.now)
    timeline_store.add_event(tx, renewal.id, TimelineEvent.SUBMITTED)
    audit.record(tx, actor=caller.ar_id, action="renewal-submitted", subject=str(renewal.id))
    outbox.add(
        tx,
        RenewalSubmitted(
            renewal_id=renewal.id,
            reference=renewal.reference,
            subscriber_id=renewal.subscriber_id,
            ar_id=renewal.ar_id,
            payer_name=renewal.subscriber_name,
            amount_minor=renewal.amount_minor,
            currency=renewal.currency,
            items=tuple(ItemFee(item_id=item.id, amount_minor=item.amount_minor) for item in items),
            document_sha256=renewal.document_sha256,
            pay_before=tx.now + DEADLINES[renewal.state],
            document=renewal.document,
            attestation=attestation,
        ),
    )
    if was.kind is RenewalKind.REISSUE:
        ask_for_csrs(tx, renewal)
    return renewal


def _entitlement(tx: Tx, renewal: Renewal, key: SigningKey) -> str:
    """Return the proof that nothing is to be paid for this document, which names the paid periods."""
    claims = {"sub": str(renewal.id), "document_sha256": renewal.document_sha256}
    return sign(claims, kind=TokenKind.ENTITLEMENT, key=key, now=tx.now, issuer="application")


def _eligible(tx: Tx, kind: RenewalKind, srns: Sequence[str], caller: Caller, limits: Limits) -> list[Subscription]:
    """Return the caller's subscriptions with these SRNs, locked.

    Raises NotEligible for the first that cannot be renewed.
    """
    found = {s.srn: s for s in store.lock_subscriptions(tx.conn, srns, caller.subscriber_id)}
    being_renewed = store.are_being_renewed(tx.conn, srns)
    for srn in srns:
        if srn not in found:
            raise NotEligible(srn, "unknown", "Your organisation has no subscription with this SRN.")
        _require_eligible(tx, kind, found[srn], caller, limits, being_renewed=srn in being_renewed)
    return [found[srn] for srn in srns]


def _require_eligible(
    tx: Tx, kind: RenewalKind, subscription: Subscription, caller: Caller, limits: Limits, *, being_renewed: bool
) -> None:
    if kind is RenewalKind.REISSUE:
        reason = eligibility.judge_reissue(subscription, being_renewed=being_renewed, caller=caller, now=tx.now)
    else:
        verdict = eligibility.judge(subscription, being_renewed=being_renewed, caller=caller, now=tx.now, limits=limits)
        reason = verdict.reason
        if reason == "too-early":
            raise TooEarly(subscription.srn, verdict.opens_on)
    if reason is not None:
        raise NotEligible(subscription.srn, reason, eligibility.ADVICE[reason])


def _item(
    tx: Tx,
    kind: RenewalKind,
    renewal_id: RenewalId,
    position: int,
    subscription: Subscription,
    chosen: DraftItem,
    in_force: Sequence[Price],
) -> Item:
    additional = subscription.additional_servers if chosen.additional_servers is None else chosen.additional_servers
    if subscription.product is not Product.WILDCARD and additional > subscription.additional_servers:
        raise NoAdditionalServers(f"{subscription.srn}: additional servers can be added to Wildcard only")
    if kind is RenewalKind.REISSUE and additional != subscription.additional_servers:
        raise NoAdditionalServers(f"{subscription.srn}: their number is changed by a renewal")
    period = _period(kind, subscription)
    names = _names(kind, subscription, chosen)
    return Item(
        id=ItemId(tx.new_id()),
        renewal_id=renewal_id,
        position=position,
        reference=_reference(tx, "E"),
        srn=subscription.srn,
        product=subscription.product,
        server_names=names,
        present_server_names=None if names == subscription.server_names else subscription.server_names,
        additional_servers=additional,
        current_serial=subscription.serial,
        amount_minor=0
        if kind is RenewalKind.REISSUE
        else prices.fee(
            in_force,
            subscription.product,
            server_names=len(names),
            additional_servers=additional,
            at=tx.now,
        ),
        state=ItemState.PENDING,
        paid_from=period.first,
        paid_until=period.last,
    )


def _names(kind: RenewalKind, subscription: Subscription, chosen: DraftItem) -> tuple[str, ...]:
    """Return the server names of the item, as certificates spell them. Raises ServerNamesFixed, ServerNamesRefused.

    The rule is issuance's, so that no name is paid for that could never be certified.
    """
    if chosen.server_names is None:
        return subscription.server_names
    try:
        names = tuple(map(server_name, chosen.server_names))
        if sorted(names) == sorted(subscription.server_names):
            return subscription.server_names
        if kind is RenewalKind.REISSUE or subscription.product is not Product.MULTI_DOMAIN:
            raise ServerNamesFixed(f"{subscription.srn}: only a renewal of Multi-domain can change its server names")
        check_names(subscription.product, names)
    except NameRefused as refused:
        raise ServerNamesRefused(subscription.srn, refused.reason, [refused.name], f"{refused}") from refused
    except NotOrderable as refused:
        raise ServerNamesRefused(subscription.srn, refused.reason, [], f"{refused}") from refused
    return names


def _period(kind: RenewalKind, subscription: Subscription) -> Period:
    """Return the days that the certificate is for: those that are paid for, or the year after them."""
    return subscription.period if kind is RenewalKind.REISSUE else subscription.period.next_year()


def _reference(tx: Tx, prefix: str) -> str:
    """Return a reference number that people can read and type: a letter and 50 random bits in base 32."""
    return f"{prefix}-{base64.b32encode(tx.new_id().bytes[-7:]).decode()[:10]}"


def _check_unchanged(kind: RenewalKind, items: Sequence[Item], subscriptions: Sequence[Subscription]) -> None:
    """Check that the subscriptions were neither renewed nor registered again since the draft."""
    for item, subscription in zip(items, subscriptions, strict=True):
        signed = (item.srn, item.current_serial, item.product, item.names_before, item.period)
        present = (subscription.srn, subscription.serial, subscription.product, subscription.server_names)
        if signed != (*present, _period(kind, subscription)):
            raise DocumentTooOld(f"the certificate of {item.srn} has changed since this document was made")


def _attested(tx: Tx, attestation: str, keys: KeySet, renewal: Renewal, caller: Caller) -> Caller:
    """Return the caller with the times of verification that the attestation states. Raises WrongAttestation."""
    try:
        claims = verify(attestation, kind=TokenKind.ATTESTATION, keys=keys, now=tx.now, issuer="identity")
        dates = proofs.evidence_dates(attestation)
    except (TokenRefused, ProofRefused) as refused:
        # Not the caller's access token: signing in again would not help.
        raise WrongAttestation("this is no attestation of identity") from refused
    expected = {
        "renewal_id": str(renewal.id),
        "document_sha256": renewal.document_sha256,
        "sub": caller.ar_id,
        "certificate_sha256": caller.certificate_sha256,
    }
    subscriber = claims.get("subscriber")
    same_subscriber = isinstance(subscriber, dict) and subscriber.get("id") == renewal.subscriber_id
    if any(claims.get(name) != value for name, value in expected.items()) or not same_subscriber:
        raise WrongAttestation("the attestation belongs to another document, signer or subscriber")
    if renewal.ar_id != caller.ar_id:
        raise WrongAttestation("another Authorised Representative made this draft")
    return replace(
        caller,
        organisation_verified_at=dates.organisation_verified_at,
        authority_verified_at=dates.authority_verified_at,
    )

"""The state tables: every edge, every other pair refused or ignored, a deadline in every state that waits."""

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.application.domain import (
    CONTRADICTIONS,
    CURRENCY,
    DEADLINES,
    ENDED,
    ITEM_TRANSITIONS,
    TRANSITIONS,
    AllRefused,
    Cancel,
    Deadline,
    EndReason,
    Hold,
    Item,
    ItemsEnded,
    ItemState,
    Release,
    Renewal,
    RenewalKind,
    RenewalState,
    Submit,
    Trigger,
)
from services.application.refusals import Contradiction, InvalidTransition
from shared.errors import Ignored
from shared.events.base import Event
from shared.events.issuance import (
    CancellationDeclined,
    CertificateAccepted,
    CertificateIssued,
    CSRReceived,
    IssuanceDelayed,
    IssuanceRefused,
    IssuanceWithheld,
    Obstacle,
    OrderOpened,
)
from shared.events.payment import PaymentCaptured, PaymentDeclined, PaymentExpired
from shared.vocabulary import ItemId, Language, Product, RenewalId
from tests.support.builders import AR, NOW

S, T = RenewalState, ItemState
COMMANDS: tuple[Trigger, ...] = (Submit, Cancel, Deadline, Hold, Release, ItemsEnded, AllRefused)
EVENTS = (PaymentCaptured, PaymentDeclined, PaymentExpired, IssuanceWithheld, CancellationDeclined)
ITEM_EVENTS = (
    *(OrderOpened, CSRReceived, IssuanceDelayed, CertificateIssued),
    *(IssuanceRefused, CertificateAccepted, IssuanceWithheld),
)
RENEWAL_ID = RenewalId(uuid.UUID(int=1))

# Written a second time by hand: a slip in the table shall not pass as its own proof.
EDGES = """
draft: Submit awaiting-payment, SubmitReissue awaiting-csrs, Cancel cancelled
awaiting-payment: PaymentCaptured awaiting-csrs, PaymentDeclined awaiting-payment, PaymentExpired expired
awaiting-payment: Cancel closing-checkout, Deadline expiring
closing-checkout: PaymentCaptured withholding, PaymentExpired withholding, PaymentDeclined closing-checkout
closing-checkout: Deadline closing-checkout
expiring: PaymentCaptured awaiting-csrs, PaymentExpired expired, PaymentDeclined expiring, Cancel closing-checkout
expiring: Deadline expiring
awaiting-csrs: Hold on-hold, Cancel withholding, Deadline withholding, ItemsEnded completed, AllRefused refused
awaiting-csrs: IssuanceWithheld cancelled
on-hold: Release awaiting-csrs, Cancel withholding, Deadline withholding, IssuanceWithheld cancelled
withholding: PaymentCaptured withholding, IssuanceWithheld cancelled, CancellationDeclined awaiting-csrs
withholding: Deadline withholding
cancelled: PaymentCaptured cancelled
expired: PaymentCaptured expired
"""


def written_by_hand() -> Iterator[tuple[str, str, str]]:
    for line in EDGES.strip().splitlines():
        state, _, edges = line.partition(": ")
        for edge in edges.split(", "):
            trigger, after = edge.split()
            yield state, trigger, after


def renewal(state: RenewalState, **changes: Any) -> Renewal:
    ar = AR()
    made = Renewal(
        id=RENEWAL_ID,
        kind=RenewalKind.RENEWAL,
        reference="R-ABCDEFGHIJ",
        subscriber_id=ar.subscriber_id,
        subscriber_name=ar.subscriber_name,
        ar_id=ar.id,
        language=Language.ENGLISH,
        state=state,
        document="{}",
        document_sha256="00" * 32,
        amount_minor=250_000,
        currency=CURRENCY,
        created_at=NOW,
    )
    return replace(made, **changes)


def item(state: ItemState) -> Item:
    return Item(
        id=ItemId(uuid.UUID(int=2)),
        renewal_id=RENEWAL_ID,
        position=1,
        reference="E-ABCDEFGHIJ",
        srn="0002310001",
        product=Product.STANDARD,
        server_names=("www.example.hk",),
        additional_servers=0,
        current_serial="1",
        amount_minor=250_000,
        state=state,
    )


def event(kind: type[Event]) -> Event:
    """Return only the kind matters to a table."""
    made = object.__new__(kind)
    object.__setattr__(made, "renewal_id", RENEWAL_ID)
    return made


def test_table_of_transitions_has_exactly_the_expected_edges() -> None:
    found = {(str(state), trigger.__name__, str(after)) for (state, trigger), after in TRANSITIONS.items()}
    assert found == set(written_by_hand())


@pytest.mark.parametrize(("state", "command"), list(itertools.product(S, COMMANDS)))
def test_command_follows_its_edge_or_is_refused(state: RenewalState, command: Trigger) -> None:
    expected = TRANSITIONS.get((state, command))
    if expected is not None:
        assert renewal(state).after(command, NOW).state is expected
        return
    with pytest.raises(InvalidTransition) as caught:
        renewal(state).after(command, NOW)
    assert caught.value.extensions == {"state": str(state)}


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(S, EVENTS)))
def test_event_follows_its_edge_or_is_ignored(state: RenewalState, kind: type[Event]) -> None:
    expected = TRANSITIONS.get((state, kind))
    if expected is not None:
        assert renewal(state).after_event(event(kind), NOW).state is expected
        return
    with pytest.raises(Ignored):
        renewal(state).after_event(event(kind), NOW)


def test_ended_renewal_has_no_transition() -> None:
    for (state, _), after in TRANSITIONS.items():
        assert state not in ENDED or after is state


def test_end_date_is_set_once() -> None:
    ended = renewal(S.EXPIRING).after(PaymentExpired, NOW)
    late = ended.after(PaymentCaptured, NOW + timedelta(days=1))
    assert (ended.ended_at, late.ended_at) == (NOW, NOW)
    assert renewal(S.DRAFT).after(Submit, NOW).ended_at is None


def test_every_state_that_waits_has_a_deadline_and_an_edge_for_it() -> None:
    waiting = set(S) - ENDED - {S.DRAFT}
    assert set(DEADLINES) == waiting == {state for state, trigger in TRANSITIONS if trigger is Deadline}
    assert all(time > timedelta() for time in DEADLINES.values())


def test_every_state_can_be_reached_and_every_waiting_one_can_end() -> None:
    reached = {S.DRAFT}
    while more := {after for (state, _), after in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(S)
    ending = set(ENDED)
    while more := {state for (state, _), after in TRANSITIONS.items() if after in ending} - ending:
        ending |= more
    assert ending == set(S)


def test_end_reason_is_cleared_when_the_renewal_continues() -> None:
    expiring = renewal(S.AWAITING_PAYMENT).after(Deadline, NOW, ending=EndReason.NOT_PAID)
    assert expiring.ending is EndReason.NOT_PAID
    assert expiring.after(PaymentDeclined, NOW).ending is EndReason.NOT_PAID
    assert expiring.after(PaymentCaptured, NOW).ending is None
    assert expiring.after(Cancel, NOW, ending=EndReason.CANCELLED).ending is EndReason.CANCELLED


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(T, ITEM_EVENTS)))
def test_event_moves_an_item_along_its_edge_or_is_ignored_or_contradicts(state: ItemState, kind: type[Event]) -> None:
    expected = ITEM_TRANSITIONS.get((state, kind))
    if expected is not None:
        assert item(state).after(event(kind)).state is expected
        return
    with pytest.raises(Contradiction if (state, kind) in CONTRADICTIONS else Ignored):
        item(state).after(event(kind))


def test_every_event_of_an_item_clears_its_obstacles() -> None:
    obstacle = Obstacle(server_name="www.example.hk", kind="validation", reason="record-missing")
    for state, kind in ITEM_TRANSITIONS:
        assert replace(item(state), obstacles=(obstacle,)).after(event(kind)).obstacles == ()


def test_no_pair_is_both_an_edge_and_a_contradiction() -> None:
    assert CONTRADICTIONS.isdisjoint(ITEM_TRANSITIONS)


def test_ended_item_has_no_transition() -> None:
    ended = {state for state in T if item(state).ended}
    assert ended == {T.ISSUED, T.ACCEPTED, T.REFUSED, T.WITHHELD}
    for (state, _), after in ITEM_TRANSITIONS.items():
        if state in ended:
            assert (state, after) == (T.ISSUED, T.ACCEPTED)


def test_money_and_certificate_exclude_each_other() -> None:
    """A refunded item can get no certificate, and one with a certificate cannot be refunded."""
    for state in (T.REFUSED, T.WITHHELD):
        assert (state, CertificateIssued) in CONTRADICTIONS
    for state, kind in itertools.product((T.ISSUED, T.ACCEPTED), (IssuanceRefused, IssuanceWithheld)):
        assert (state, kind) in CONTRADICTIONS

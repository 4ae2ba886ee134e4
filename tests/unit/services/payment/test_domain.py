"""A payment moves as the table says, and in no other way."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.payment.domain import TRANSITIONS, Move, Payment, PaymentId, PaymentState
from services.payment.refusals import AlreadyPaid, NoSuchTransition, PaymentClosed, PaymentHeld
from shared.vocabulary import ARId, RenewalId, SubscriberId

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
PAYMENT = Payment(
    id=PaymentId(uuid.uuid4()),
    renewal_id=RenewalId(uuid.uuid4()),
    reference="R-0001",
    subscriber_id=SubscriberId("sub-1"),
    ar_id=ARId("ar-1"),
    payer_name="Example Limited",
    amount_minor=250_000,
    currency="HKD",
    document_sha256="ab" * 32,
    pay_before=NOW + timedelta(days=7),
    state=PaymentState.AWAITING_CHECKOUT,
)


@pytest.mark.parametrize(("state", "move"), list(itertools.product(PaymentState, Move)))
def test_transition_not_in_the_table_is_refused(state: PaymentState, move: Move) -> None:
    payment = replace(PAYMENT, state=state)
    if (state, move) in TRANSITIONS:
        assert payment.after(move).state is TRANSITIONS[state, move]
    else:
        with pytest.raises(NoSuchTransition):
            payment.after(move)


@pytest.mark.parametrize("state", [PaymentState.CAPTURED, PaymentState.EXPIRED])
def test_captured_and_expired_are_final(state: PaymentState) -> None:
    assert not [move for (before, move) in TRANSITIONS if before is state]


def test_recheck_of_a_closing_payment_continues_closing() -> None:
    held = replace(PAYMENT, state=PaymentState.HELD)
    assert held.after(Move.RECHECK).state is PaymentState.OPEN
    assert replace(held, closing_reason="deadline").after(Move.RECHECK).state is PaymentState.CLOSING


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (PaymentState.CAPTURED, AlreadyPaid),
        (PaymentState.HELD, PaymentHeld),
        (PaymentState.CLOSING, PaymentClosed),
        (PaymentState.EXPIRED, PaymentClosed),
    ],
)
def test_no_checkout_opens_in_these_states(state: PaymentState, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        replace(PAYMENT, state=state).require_payable(NOW)


def test_time_to_pay_ends_with_pay_before() -> None:
    PAYMENT.require_payable(PAYMENT.pay_before - timedelta(microseconds=1))
    with pytest.raises(PaymentClosed):
        PAYMENT.require_payable(PAYMENT.pay_before)

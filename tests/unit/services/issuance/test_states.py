"""The order's states: what is in the table happens, what is not is refused."""

from itertools import product
from uuid import UUID

import pytest

from services.issuance.domain import TRANSITIONS, Order, OrderState
from services.issuance.refusals import InvalidTransition
from shared.vocabulary import ItemId, Product, RenewalId

TRIGGERS = sorted({trigger for _, trigger in TRANSITIONS}, key=lambda trigger: trigger.__name__)


def order(state: OrderState) -> Order:
    return Order(
        item_id=ItemId(UUID(int=1)),
        renewal_id=RenewalId(UUID(int=2)),
        position=1,
        reference="I-1",
        srn="1",
        product=Product.STANDARD,
        server_names=("www.example.hk",),
        state=state,
    )


@pytest.mark.parametrize(("state", "trigger"), [p for p in product(OrderState, TRIGGERS) if p not in TRANSITIONS])
def test_transition_that_is_not_in_the_table_is_refused(state: OrderState, trigger: type) -> None:
    with pytest.raises(InvalidTransition):
        order(state).after(trigger)


def test_every_state_can_be_reached_and_all_but_the_last_can_be_left() -> None:
    assert set(TRANSITIONS.values()) == set(OrderState)
    left = {state for state, _ in TRANSITIONS}
    assert set(OrderState) - left == {OrderState.ACCEPTED, OrderState.REFUSED, OrderState.WITHHELD}

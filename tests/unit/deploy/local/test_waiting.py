"""Free ports: none is given out twice, though nobody has bound it yet."""

import random

from deploy.local.waiting import free_ports


def test_assigned_unbound_ports_are_not_assigned_again() -> None:
    state = random.getstate()
    first = free_ports(20)
    random.setstate(state)
    assert {*first}.isdisjoint(free_ports(20))

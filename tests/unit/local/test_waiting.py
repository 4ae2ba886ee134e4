"""Free ports: none is given out twice in a row, though nobody has bound it yet."""

from deploy.local.waiting import free_port, free_ports


def test_ports_given_out_and_not_yet_bound_are_not_given_out_again() -> None:
    given = [port for _ in range(30) for port in (free_port(), *free_ports(20))]
    assert len(given) == len({*given})

"""Peers that accept and never answer: the worker is held for no more than its time limit, and the order stays."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Final

import pytest

from services.issuance import work
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.submission import Logs, NotEnoughSCTs
from services.issuance.dcv.perspectives import Perspectives, Timeouts
from services.issuance.dcv.quorum import PerspectiveSet
from services.issuance.domain_checks import CheckDeps, check_next
from shared.pki.observations import Report, read_inquiry
from tests.integration.services.issuance.test_domain_evidence import is_issued, put, unproved
from tests.integration.services.issuance.world import World
from tests.integration.services.issuance.zone import RULES
from tests.support.dripping import within
from tests.support.servers import silent_server
from tests.unit.services.issuance.dcv.test_perspectives import NAMES, Serve, Server, send, slow

LIMIT: Final = 0.7
# Room for a slow machine between the limit and what a test accepts.
SLACK: Final = 1.5


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("perspectives"))
    yield made
    made.stop()


def sees(world: World, name: str) -> Serve:
    """Return a perspective that reports what is in the zone."""

    def serve(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        inquiry = read_inquiry(body)
        report = world.zone.observe(inquiry.questions, inquiry.attempt_id)[name]
        assert isinstance(report, Report)
        send(handler, json.dumps(report.document()).encode())

    return serve


def one_hangs(servers: Server, name: str, where: str, until: ExitStack) -> PerspectiveSet:
    """Have one perspective accept a connection, or read a request, and do nothing more."""
    if where == "request":
        servers.behaviour[name] = slow(servers, name)
        return servers.set
    host, _, port = until.enter_context(silent_server()).partition(":")
    address = (host, int(port))
    return PerspectiveSet(
        tuple(replace(each, address=address) if each.name == name else each for each in servers.set.perspectives)
    )


def turn(world: World, servers: Server, found: PerspectiveSet) -> tuple[str | None, str | None]:
    """Return method and reason of a check that is due, which these perspectives answer within the limit."""
    client = Perspectives(found, servers.credentials, Timeouts(connect=LIMIT, total=LIMIT))
    with within(LIMIT + SLACK):
        assert check_next(world.pool, CheckDeps(perspectives=client, rules=RULES), clock=world.clock)
    client.close()
    ((method, reason),) = world.rows("SELECT method, reason FROM domain_checks ORDER BY checked_at DESC LIMIT 1")
    return method, reason


def go_on(world: World) -> None:
    """Let the time pass after which waiting orders are examined again, and examine them."""
    world.now += timedelta(minutes=2)
    while world.issue_once():
        pass


@pytest.mark.parametrize("where", ["connection", "request"])
@pytest.mark.parametrize("name", ["sin", "hkg"])
def test_check_ends_in_time_while_a_perspective_hangs_and_the_order_is_issued_after_it(
    world: World, servers: Server, name: str, where: str
) -> None:
    servers.behaviour = {each: sees(world, each) for each in NAMES}
    renewal = unproved(world)
    put(world)
    go_on(world)
    with ExitStack() as until:
        method, reason = turn(world, servers, one_hangs(servers, name, where, until))
    go_on(world)
    if name == "sin":  # one of the remote ones: the others are enough
        assert (method, is_issued(world, renewal)) == ("7", True)
        return
    assert (method, is_issued(world, renewal)) == (None, False)
    assert reason in ("perspective-timed-out", "perspective-unavailable")
    servers.behaviour[name] = sees(world, name)
    go_on(world)
    assert turn(world, servers, servers.set) == ("7", None)
    go_on(world)
    assert is_issued(world, renewal)


def test_issuing_ends_in_time_while_all_logs_hang_and_the_order_is_issued_after_it(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    listed = world.transparency.log_list
    with silent_server() as address:
        there = tuple(replace(each, url=f"http://{address}/") for each in listed.logs)
        limit = timedelta(seconds=LIMIT)
        hanging = Logs(replace(listed, logs=there), LogClient(), deadline=limit, hedge_seconds=0.2)
        deps = replace(world.deps(), logs=hanging)
        with within(LIMIT + SLACK), pytest.raises(NotEnoughSCTs) as raised:
            work.issue_next(world.pool, deps, clock=world.clock)
        assert set(raised.value.reasons.values()) == {"no answer in time"}
        assert not work.issue_next(world.pool, deps, clock=world.clock), "it waits for its own time"
    assert not is_issued(world, renewal)
    go_on(world)
    assert is_issued(world, renewal)

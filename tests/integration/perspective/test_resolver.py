"""The stub in front of a resolver that is broken, or does not validate."""

import time
from collections.abc import Callable
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from dns.rdatatype import RdataType

from perspective.fetcher import Fetcher
from perspective.observing import Observer
from perspective.resolver import LookupFailed, Resolver
from shared.pki.observations import Kind, Outcome, Question, Reason
from tests.integration.perspective.strange import BEHAVIOURS, Behaviour, strange_server

NAME: Final = dns.name.from_text("www.shop.hk")
# For a resolver that does not answer, and for one that does.
SHORT: Final = 0.5
LONG: Final = 10.0


def answering(*, validated: bool, alter: Callable[[dns.message.Message], None] | None = None) -> Behaviour:
    """Return a resolver that has a TXT record for every name, and may say that it validated it."""

    def behave(query: dns.message.Message, tcp: bool) -> bytes | None:
        reply = dns.message.make_response(query, recursion_available=True)
        reply.flags |= dns.flags.AD if validated else 0
        kind = query.question[0].rdtype
        text = '"value"' if kind == RdataType.TXT else "ns. h. 1 1 1 1 1"
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", kind, text))
        if alter is not None:
            alter(reply)
        return reply.to_wire()

    return behave


def twice_in_another_class(reply: dns.message.Message) -> None:
    reply.answer[0].rdclass = dns.rdataclass.CH


def truncated(reply: dns.message.Message) -> None:
    reply.flags |= dns.flags.TC


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(BEHAVIOURS["silent"], Reason.DNS_TIMEOUT, id="silent"),
        pytest.param(BEHAVIOURS["refusing"], Reason.DNS_REFUSED, id="refusing"),
        pytest.param(BEHAVIOURS["not-implementing"], Reason.DNS_REFUSED, id="not implementing"),
        pytest.param(BEHAVIOURS["failing"], Reason.SERVFAIL, id="failing"),
        pytest.param(BEHAVIOURS["garbage"], Reason.RECORDS, id="garbage that announces 65,535 records"),
        pytest.param(
            lambda query, tcp: query.to_wire()[:2] + b"\x80\x00\x00\x01" + b"\x00" * 6,
            Reason.DNS_MALFORMED,
            id="a header alone",
        ),
        pytest.param(lambda query, tcp: query.to_wire()[:7], Reason.DNS_TIMEOUT, id="less than a header"),
        pytest.param(BEHAVIOURS["other-id"], Reason.DNS_TIMEOUT, id="another id"),
        pytest.param(BEHAVIOURS["other-question"], Reason.DNS_MALFORMED, id="another question"),
        pytest.param(lambda query, tcp: query.to_wire(), Reason.DNS_MALFORMED, id="the query itself"),
        pytest.param(BEHAVIOURS["flood"], Reason.RECORDS, id="10 MB by TCP"),
        pytest.param(BEHAVIOURS["drip"], Reason.DNS_TIMEOUT, id="never finishing by TCP"),
        pytest.param(answering(validated=True, alter=truncated), Reason.DNS_MALFORMED, id="truncated by TCP, too"),
    ],
)
def test_broken_resolver_is_a_failure_in_time(behaviour: Behaviour, reason: Reason) -> None:
    timeout = SHORT if reason is Reason.DNS_TIMEOUT else LONG
    started = time.monotonic()
    with strange_server(behaviour) as port, pytest.raises(LookupFailed) as failed:
        Resolver(("127.0.0.1", port)).resolve(NAME, RdataType.TXT, started + timeout)
    assert failed.value.reason is reason
    assert time.monotonic() - started < SHORT + 5


def test_resolver_that_is_down_is_a_failure() -> None:
    resolver = Resolver(("127.0.0.1", 1))
    with pytest.raises(LookupFailed) as failed:
        resolver.resolve(NAME, RdataType.TXT, time.monotonic() + LONG)
    assert failed.value.reason is Reason.SERVFAIL
    assert not resolver.validates()


def test_record_of_another_class_is_no_answer() -> None:
    with strange_server(answering(validated=True, alter=twice_in_another_class)) as port:
        answer = Resolver(("127.0.0.1", port)).resolve(NAME, RdataType.TXT, time.monotonic() + LONG)
    assert answer.rrset is None


@pytest.mark.parametrize("validated", [True, False])
def test_resolver_that_does_not_validate_answers_nothing(validated: bool) -> None:
    with strange_server(answering(validated=validated)) as port:
        resolver = Resolver(("127.0.0.1", port))
        observer = Observer(resolver=resolver, fetcher=Fetcher(resolver), timeout=LONG)
        seen = observer.observe([Question(Kind.TXT, "www.shop.hk"), Question(Kind.CNAME, "www.shop.hk")])
    if validated:
        assert (seen[0].outcome, seen[0].values, seen[0].secure) == (Outcome.FOUND, ("value",), True)
    else:
        assert {(each.outcome, each.reason) for each in seen} == {(Outcome.FAILED, Reason.INTERNAL)}

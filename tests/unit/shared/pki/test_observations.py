"""Inquiries and reports as JSON: both ways, and what is refused."""

import json
import uuid
from typing import Any

import pytest

from shared.pki import observations
from shared.pki.observations import CAARecord, Inquiry, Kind, Observation, Outcome, Question, Reason, Report, Unreadable

ATTEMPT = uuid.UUID(int=7)
INQUIRY = Inquiry(
    attempt_id=ATTEMPT,
    questions=(Question(Kind.TXT, "_validation.www.shop.hk"), Question(Kind.CAA, "www.shop.hk")),
)
TXT = Observation(
    kind=Kind.TXT, name="_validation.www.shop.hk", outcome=Outcome.FOUND, values=("abc",), ttl=60, secure=True
)
CAA = Observation(
    kind=Kind.CAA,
    name="www.shop.hk",
    outcome=Outcome.FOUND,
    records=(CAARecord(128, "issue", "ca.example; accounturi=acct:1"), CAARecord(0, "iodef", "mailto:a@shop.hk")),
    owner="shop.hk",
    ttl=300,
)
REPORT = Report(perspective="hkg", resolver="127.0.0.1:53", attempt_id=ATTEMPT, observations=(TXT, CAA))


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_inquiry_is_read_as_it_was_written() -> None:
    assert observations.read_inquiry(encoded(INQUIRY.document())) == INQUIRY


def test_report_is_read_as_it_was_written() -> None:
    read = observations.read_report(encoded(REPORT.document()))
    assert read == REPORT
    read.require_answer_to(INQUIRY)


def test_observation_of_a_file_is_read_with_its_address() -> None:
    seen = Observation(kind=Kind.FILE, name="shop.hk", outcome=Outcome.FOUND, values=("x\r\n",), address="2001:db8::1")
    assert observations.read_observation(json.loads(encoded(seen.document()))) == seen


def test_failure_is_read_with_its_reason() -> None:
    seen = Observation(kind=Kind.CAA, name="shop.hk", outcome=Outcome.FAILED, reason=Reason.BOGUS)
    assert observations.read_observation(json.loads(encoded(seen.document()))) == seen


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain text", "plain text"),
        (b"a\\b", "a\\092b"),
        (b"nul \x00, \xe4\xb8\xad", "nul \\000, \\228\\184\\173"),
        (b"tab\tline\r\n", "tab\tline\r\n"),
        (b"\x7f\x1b[2J", "\\127\\027[2J"),
    ],
)
def test_octets_become_printable_without_loss(content: bytes, text: str) -> None:
    assert observations.printable(content) == text


def spoilt(document: dict[str, Any], *path: str | int, to: Any) -> bytes:
    """Return the document with one value replaced."""
    copy = json.loads(json.dumps(document))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return encoded(copy)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 60_000, id="deep nesting"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b" " * (observations.MAX_INQUIRY_BYTES + 1), id="too long"),
        pytest.param(spoilt(INQUIRY.document(), "attempt_id", to="7"), id="no UUID"),
        pytest.param(spoilt(INQUIRY.document(), "questions", to=[]), id="no question"),
        pytest.param(
            spoilt(INQUIRY.document(), "questions", to=[{"kind": "caa", "name": "a.hk"}] * 129), id="129 questions"
        ),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "kind", to="any"), id="unknown kind"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "name", to="*.shop.hk"), id="a wildcard"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "name", to="shop.hk."), id="a final dot"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "name", to="Shop.hk"), id="capitals"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "name", to="a.hk/x?y"), id="a path"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "name", to="a" * 64 + ".hk"), id="a long label"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "name", to="a.hk\n"), id="a line"),
        pytest.param(spoilt(INQUIRY.document(), "questions", 0, "value", to="secret"), id="an unknown field"),
    ],
)
def test_inquiry_in_another_form_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        observations.read_inquiry(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(spoilt(REPORT.document(), "observations", 0, "reason", to="dns-bogus"), id="found, with a reason"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "outcome", to="failed"), id="failed, without reason"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "outcome", to="absent"), id="absent, with content"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "values", to=[]), id="found, without content"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "values", to=["a"] * 65), id="65 values"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "values", to=["a" * 4097] * 2), id="much text"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "values", to=["\0"]), id="a NUL"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "ttl", to=-1), id="a negative TTL"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "ttl", to="1"), id="a TTL as text"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "secure", to="yes"), id="secure as text"),
        pytest.param(spoilt(REPORT.document(), "observations", 0, "address", to="host"), id="no address"),
        pytest.param(spoilt(REPORT.document(), "observations", 1, "records", 0, "flags", to=256), id="flags of 256"),
        pytest.param(spoilt(REPORT.document(), "observations", 1, "records", 0, "tag", to="中"), id="a Chinese tag"),
        pytest.param(
            spoilt(REPORT.document(), "observations", 1, "records", to=[{"flags": 0, "tag": "a", "value": ""}] * 101),
            id="101 records",
        ),
        pytest.param(spoilt(REPORT.document(), "perspective", to="Hong Kong"), id="another form of name"),
        pytest.param(spoilt(REPORT.document(), "secret", to=1), id="an unknown field"),
    ],
)
def test_report_in_another_form_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        observations.read_report(content)


@pytest.mark.parametrize(
    "report",
    [
        Report(perspective="hkg", resolver="r:53", attempt_id=uuid.UUID(int=8), observations=(TXT, CAA)),
        Report(perspective="hkg", resolver="r:53", attempt_id=ATTEMPT, observations=(TXT,)),
        Report(perspective="hkg", resolver="r:53", attempt_id=ATTEMPT, observations=(CAA, TXT)),
    ],
    ids=["another attempt", "one answer missing", "another order"],
)
def test_report_that_answers_something_else_is_unreadable(report: Report) -> None:
    with pytest.raises(Unreadable):
        report.require_answer_to(INQUIRY)


def test_largest_report_is_within_its_limit() -> None:
    name = "a" * 63 + ".hk"
    full = Observation(kind=Kind.TXT, name=name, outcome=Outcome.FOUND, values=('"' * observations.MAX_TEXT,))
    report = Report(perspective="a" * 32, resolver="r:53", attempt_id=ATTEMPT, observations=(full,) * 128)
    assert observations.read_report(encoded(report.document())) == report

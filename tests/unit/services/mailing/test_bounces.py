"""Reading of delivery status notifications."""

import pytest

from services.mailing import bounces
from services.mailing.bounces import Failure
from services.mailing.refusals import ReportRefused
from tests.unit.services.mailing.reports import MESSAGE_ID, global_report, plain_bounce, report


def nested(depth: int) -> bytes:
    """Write a message whose parts lie one in another."""
    return b"Content-Type: message/rfc822\n\n" * depth + b"x"


@pytest.mark.parametrize("headers_only", [False, True])
def test_failure_names_its_mail_and_the_reply(headers_only: bool) -> None:
    failure = Failure(message_id=MESSAGE_ID, reply_code=550)
    assert bounces.read(report(headers_only=headers_only)) == failure
    assert bounces.read(report(headers_only=headers_only).replace(b"\r\n", b"\n")) == failure


@pytest.mark.parametrize(
    ("diagnostic", "code"),
    [
        ("Diagnostic-Code: SMTP; 552-5.2.2 over\n quota", 552),
        ("Diagnostic-Code: x-unix; user unknown", 550),
        ("Remote-MTA: dns; mx.example.hk", 550),
    ],
)
def test_failure_without_an_smtp_reply_is_a_general_one(diagnostic: str, code: int) -> None:
    assert bounces.read(report(diagnostic=diagnostic)).reply_code == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (global_report(), 554),
        (global_report(headers_only=True), 554),
        (global_report(base64_status=True), 554),
        (report(diagnostic="Diagnostic-Code: X-Exchange; 550 5.1.10 RESOLVER.ADR.RecipientNotFound"), 550),
        (report(diagnostic="Diagnostic-Code: smtp; 552"), 552),
        (report(message_id="none").replace(b"Return-Path: <>", f"In-Reply-To: {MESSAGE_ID}".encode()), 550),
        (report().replace(b"message/delivery-status", b"text/plain"), 550),
        (report().replace(b"message/rfc822", b"text/plain"), 550),
        (plain_bounce(), 553),
        (plain_bounce(marks="From: Mail Delivery Subsystem <mailer-daemon@example.hk>"), 553),
        (plain_bounce(marks="From: MAILER-DAEMON (Mail Delivery System)"), 553),
        (plain_bounce(marks="X-Failed-Recipients: chan@example.hk", reason="No such user"), 550),
        (plain_bounce(reason="delivery failed, status 5.4.4: host unknown"), 550),
        (plain_bounce(headers=f"References: <other@x.hk> {MESSAGE_ID}", copy=f"> Message-Id:{MESSAGE_ID}"), 553),
        (plain_bounce(headers=f"X-Original-Message-ID: {MESSAGE_ID}", copy="(none)"), 553),
    ],
)  # fmt: skip
def test_bounce_of_any_usual_form_names_its_mail_and_reply(content: bytes, code: int) -> None:
    assert bounces.read(content) == Failure(message_id=MESSAGE_ID, reply_code=code)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Subject: I am on holiday\r\n\r\nBack on Monday.\r\n", "no delivery status notification"),
        (plain_bounce(reason="451 4.7.1 greylisted"), "no permanent failure"),
        (report(action="delayed", status="4.4.1"), "delay or a delivery"),
        (report(message_id="none"), "which mail"),
        (report() + b" " * 1_000_000, "bytes"),
        (nested(3000), "nested"),
        (global_report(base64_status=True).replace(b"UmVw", b"U"), "no permanent failure|delay"),
    ],
)
def test_refused_report_has_its_actual_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ReportRefused, match=reason):
        bounces.read(content)


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_report_of_no_failure_is_refused(action: str) -> None:
    with pytest.raises(ReportRefused, match="not about a failure"):
        bounces.read(report(action=action, status="4.4.1"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: I am on holiday\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday.\r\n",
        b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: multipart/report\r\n\r\nno parts\r\n",
        report(message_id="none"),
        plain_bounce(marks="From: chan@example.hk"),
        plain_bounce(reason="Remote host said: 451 4.7.1 greylisted, try again later"),
        plain_bounce(reason="The mailbox has 550 messages"),
        plain_bounce(copy="(none)"),
        report() + b" " * 1_000_000,
        nested(3000),
        report(message_id="<\xe9@x>"),
        report()[: len(report()) // 2],
    ],
)
def test_text_that_is_no_delivery_report_is_refused(content: bytes) -> None:
    with pytest.raises(ReportRefused):
        bounces.read(content)


def test_nested_report_is_not_mistaken_for_the_mail() -> None:
    """The Message-ID is that of the mail given back, not of the report itself."""
    assert b"<20261123.4711@mail.example.hk>" in report()
    assert bounces.read(report()).message_id == MESSAGE_ID

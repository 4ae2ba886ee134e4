"""What is read in a delivery status notification."""

import pytest

from services.mailing import bounces
from services.mailing.bounces import Failure
from services.mailing.domain import ReportRefused
from tests.unit.mailing.reports import MESSAGE_ID, report


@pytest.mark.parametrize("headers_only", [False, True])
def test_a_failure_names_its_mail_and_the_reply(headers_only: bool) -> None:
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
def test_a_failure_without_an_smtp_reply_is_a_general_one(diagnostic: str, code: int) -> None:
    assert bounces.read(report(diagnostic=diagnostic)).reply_code == code


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_what_is_no_failure_is_refused(action: str) -> None:
    with pytest.raises(ReportRefused, match="nothing was given up"):
        bounces.read(report(action=action, status="4.4.1"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: I am on holiday\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday.\r\n",
        b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: multipart/report\r\n\r\nno parts\r\n",
        report().replace(b"message/delivery-status", b"text/plain"),
        report().replace(b"message/rfc822", b"text/plain"),
        report(message_id="none"),
        report(message_id="<\xe9@x>"),
        report()[: len(report()) // 2],
    ],
)
def test_what_is_no_report_of_a_mail_is_refused(content: bytes) -> None:
    with pytest.raises(ReportRefused):
        bounces.read(content)


def test_a_report_within_a_report_is_not_taken_for_the_mail() -> None:
    """The Message-ID is that of the mail given back, not of the report itself."""
    assert b"<20261123.4711@mail.example.hk>" in report()
    assert bounces.read(report()).message_id == MESSAGE_ID

"""Delivery status notifications as mail servers write them (RFC 3464)."""

import base64
from typing import Final

MESSAGE_ID: Final = "<0123456789abcdef0123456789abcdef01234567@ecert.localhost>"

_HEAD: Final = """\
Return-Path: <>
From: MAILER-DAEMON@mail.example.hk (Mail Delivery System)
To: no-reply@ecert.localhost
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_x"
Message-ID: <20261123.4711@mail.example.hk>

This is a MIME-encapsulated message.

--=_x
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mail.example.hk. I'm sorry to have to inform you ...

--=_x
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.hk
Arrival-Date: Mon, 23 Nov 2026 09:30:00 +0800

Final-Recipient: rfc822; chan@example.hk
Action: {action}
Status: {status}
{diagnostic}
"""
_WHOLE: Final = """\
--=_x
Content-Type: message/rfc822

From: Hongkong Post CA <no-reply@ecert.localhost>
To: chan@example.hk
Subject: =?utf-8?b?5o+Q5Lqk?=
Message-ID: {message_id}

Dear ...

--=_x--
"""
_HEADERS: Final = """\
--=_x
Content-Type: text/rfc822-headers

From: Hongkong Post CA <no-reply@ecert.localhost>
Message-Id:
 {message_id}

--=_x--
"""


def report(
    message_id: str = MESSAGE_ID,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "Diagnostic-Code: smtp; 550 5.1.1 <chan@example.hk>: No such mailbox",
    headers_only: bool = False,
) -> bytes:
    """Return a report about one mail."""
    given = _HEADERS if headers_only else _WHOLE
    text = _HEAD.format(action=action, status=status, diagnostic=diagnostic) + given.format(message_id=message_id)
    return text.replace("\n", "\r\n").encode()


_PLAIN: Final = """\
{marks}
To: no-reply@ecert.localhost
Subject: failure notice
{headers}

Hi. This is the qmail-send program at mx.example.hk.
I'm afraid I wasn't able to deliver your message to the following addresses.

<chan@example.hk>:
{reason}

--- Below this line is a copy of the message.
{copy}
"""


def plain_bounce(
    *,
    marks: str = "Return-Path: <>",
    headers: str = "MIME-Version: 1.0",
    reason: str = "Remote host said: 553 5.1.8 sorry, no mailbox here by that name",
    copy: str = f"Message-ID: {MESSAGE_ID}",
) -> bytes:
    """Write a bounce without any part for machines, as qmail, Exim and some appliances do."""
    return _PLAIN.format(marks=marks, headers=headers, reason=reason, copy=copy).replace("\n", "\r\n").encode()


def global_report(*, base64_status: bool = False, headers_only: bool = False) -> bytes:
    """Write a report about an internationalised mail (RFC 6533)."""
    text = report(headers_only=headers_only, diagnostic="Diagnostic-Code: smtp; 554 5.7.1 郵箱不存在").decode()
    text = text.replace("message/delivery-status", "message/global-delivery-status")
    text = text.replace("message/rfc822", "message/global").replace("text/rfc822-headers", "message/global-headers")
    text = text.replace("Final-Recipient: rfc822; chan@example.hk", "Final-Recipient: utf-8; 陳@例子.hk")
    if base64_status:
        head, status, tail = _split_status(text)
        coded = base64.encodebytes(status.encode()).decode().replace("\n", "\r\n")
        text = f"{head}Content-Transfer-Encoding: base64\r\n\r\n{coded}\r\n{tail}"
    return text.encode()


def _split_status(text: str) -> tuple[str, str, str]:
    start = text.index("Reporting-MTA")
    end = text.index("--=_x", start)
    return text[: start - 2], text[start:end], text[end:]

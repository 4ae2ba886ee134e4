"""Delivery status notifications as mail servers write them (RFC 3464)."""

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
    """A report about one mail."""
    given = _HEADERS if headers_only else _WHOLE
    text = _HEAD.format(action=action, status=status, diagnostic=diagnostic) + given.format(message_id=message_id)
    return text.replace("\n", "\r\n").encode()

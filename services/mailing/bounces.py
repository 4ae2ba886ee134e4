"""Delivery status notifications (RFC 3464): how a mail that our server had taken came back from another one."""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final

from services.mailing.domain import ReportRefused

_SMTP_CODE: Final = re.compile(r"smtp\s*;\s*(5[0-9]{2})\b", re.IGNORECASE)
_MESSAGE_ID: Final = re.compile(r"<[!-~]{3,250}>")
_GENERAL_FAILURE: Final = 550


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A mail that was given up, with the SMTP reply it was refused by."""

    message_id: str
    reply_code: int


def read(report: bytes) -> Failure:
    """What a report says. Raises ReportRefused for a delay, a success, or anything that is no report."""
    message = email.message_from_bytes(report)
    if message.get_content_type() != "multipart/report":
        raise ReportRefused("this is no delivery status notification")
    codes = [_code(recipient) for recipient in _recipients(message) if _action(recipient) == "failed"]
    if not codes:
        raise ReportRefused("nothing was given up: the report tells of a delay or a delivery")
    return Failure(message_id=_original(message), reply_code=codes[0])


def _recipients(message: Message) -> Iterator[Message]:
    """The fields of each recipient: the blocks after the first (RFC 3464, 2.1)."""
    for part in message.walk():
        blocks = part.get_payload() if part.get_content_type() == "message/delivery-status" else None
        if isinstance(blocks, list):
            yield from (block for block in blocks[1:] if isinstance(block, Message))


def _action(recipient: Message) -> str:
    return str(recipient.get("Action", "")).strip().lower()


def _code(recipient: Message) -> int:
    match = _SMTP_CODE.search(str(recipient.get("Diagnostic-Code", "")))
    return int(match[1]) if match else _GENERAL_FAILURE


def _original(message: Message) -> str:
    """The Message-ID of the mail that is given back, whole or by its headers (RFC 6522, 3)."""
    for part in message.walk():
        given = _given_back(part)
        match = None if given is None else _MESSAGE_ID.search(str(given.get("Message-ID", "")))
        if match is not None:
            return match[0]
    raise ReportRefused("the report does not say which mail came back")


def _given_back(part: Message) -> Message | None:
    content = part.get_payload(decode=True) if part.get_content_type() == "text/rfc822-headers" else None
    if isinstance(content, bytes):
        return email.message_from_bytes(content)
    inner = part.get_payload() if part.get_content_type() == "message/rfc822" else None
    return inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], Message) else None

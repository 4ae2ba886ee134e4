"""Bounces: delivery status notifications (RFC 3464, RFC 6533) and others, each matched to one of our e-mails."""

import base64
import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Final

from services.mailing.refusals import ReportRefused

# Servers return at most the whole e-mail; ours are a few kilobytes.
MAX_REPORT_BYTES: Final = 1_000_000
_STATUS_TYPES: Final = ("message/delivery-status", "message/global-delivery-status")
_HEADERS_TYPES: Final = ("text/rfc822-headers", "message/global-headers")
_WHOLE_TYPES: Final = ("message/rfc822", "message/global")
# A reply code, as in "550 5.1.1 …", "smtp; 550-…", "x-exchange; 550".
_REPLY_CODE: Final = re.compile(r"(?<![\w.])(5[0-9]{2})(?![\w.])")
_REPLY_LINE: Final = re.compile(r"(?<![\w.])(5[0-9]{2})[ -]+#?5\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.])")
_ENHANCED: Final = re.compile(r"(?<![\w.])5\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.])")
_MESSAGE_ID: Final = re.compile(r"<[!-~]{3,250}>")
_MESSAGE_ID_LINE: Final = re.compile(r"^[> \t]*Message-ID:\s*(<[!-~]{3,250}>)", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE: Final = re.compile(r"\r?\n[ \t]*\r?\n")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")
_SERVER: Final = re.compile(r"\b(mailer-daemon|postmaster)@|^\s*mailer-daemon\b", re.IGNORECASE)
# A permanent failure without a reply code (RFC 3464, section 2.3.4: the class of its status is 5).
_GENERAL_FAILURE: Final = 550


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An e-mail that was given up, with the SMTP reply that refused it; 550 if the report has none."""

    message_id: str
    reply_code: int


def read(report: bytes) -> Failure:
    """Return the e-mail that the report gives up.

    Raises ReportRefused for a delay, a success, a report without an e-mail, or anything else that is not a report.
    """
    if len(report) > MAX_REPORT_BYTES:
        raise ReportRefused(f"the report has more than {MAX_REPORT_BYTES} bytes")
    try:
        message = email.message_from_bytes(report)
        recipients = [*_recipients(message)]
        code = _code_of_fields(recipients) if recipients else _code_of_text(message)
        return Failure(message_id=_original(message), reply_code=code)
    except RecursionError:
        raise ReportRefused("the report's parts are nested too deeply") from None


def _recipients(message: Message) -> Iterator[Message]:
    """Yield the fields of each recipient: the blocks after the first (RFC 3464, section 2.1)."""
    for part in message.walk():
        if part.get_content_type() in _STATUS_TYPES:
            for block in _BLANK_LINE.split(_text_within(part).strip())[1:]:
                yield HeaderParser().parsestr(block.strip())


def _text_within(part: Message) -> str:
    """Return a part's text, even if the parser took it for one or several messages."""
    if part.is_multipart():
        text = "\n\n".join(str(inner).strip() for inner in part.get_payload() if isinstance(inner, Message))
        # RFC 6533, section 3, allows an encoding where the parser expects none.
        if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64":
            digits = _NOT_BASE64.sub("", text)
            return base64.b64decode(digits + "A" * (-len(digits) % 4)).decode("utf-8", "replace")
        return text
    content = part.get_payload(decode=True)
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def _code_of_fields(recipients: list[Message]) -> int:
    failed = [each for each in recipients if str(each.get("Action", "")).strip().lower() == "failed"]
    if not failed:
        raise ReportRefused("the report is about a delay or a delivery, not about a failure")
    match = _REPLY_CODE.search(str(failed[0].get("Diagnostic-Code", "")))
    return int(match[1]) if match else _GENERAL_FAILURE


def _code_of_text(message: Message) -> int:
    """Return the reply code of a bounce without a machine-readable part, if a mail server wrote it
    and it is permanent.
    """
    if not _is_of_a_server(message):
        raise ReportRefused("this is no delivery status notification")
    failed = message.get("X-Failed-Recipients") is not None
    for text in _texts(message):
        if match := _REPLY_LINE.search(text):
            return int(match[1])
        failed = failed or _ENHANCED.search(text) is not None
    if not failed:
        raise ReportRefused("the report names no permanent failure")
    return _GENERAL_FAILURE


def _is_of_a_server(message: Message) -> bool:
    """Return whether a mail server wrote it: an empty return path (RFC 5321, section 4.5.5), or one of the usual
    senders.
    """
    if str(message.get("Return-Path", "")).strip() == "<>" or message.get("X-Failed-Recipients") is not None:
        return True
    return _SERVER.search(str(message.get("From", ""))) is not None


def _texts(message: Message) -> Iterator[str]:
    """Yield the server's plain text, without the returned e-mail."""
    if message.get_content_type() in (*_WHOLE_TYPES, *_HEADERS_TYPES):
        return
    if message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _texts(part)
    elif message.get_content_type() == "text/plain":
        yield _text_within(message)


def _original(message: Message) -> str:
    """Return the Message-ID of the returned e-mail (RFC 6522, section 3), else the one that the report names."""
    for part in message.walk():
        if part.get_content_type() in (*_WHOLE_TYPES, *_HEADERS_TYPES):
            given_back = HeaderParser().parsestr(_text_within(part).lstrip())
            if match := _MESSAGE_ID.search(str(given_back.get("Message-ID", ""))):
                return match[0]
    for text in _texts(message):
        if match := _MESSAGE_ID_LINE.search(text):
            return match[1]
    for name in ("X-Original-Message-ID", "Original-Message-ID", "In-Reply-To", "References"):
        if match := _MESSAGE_ID.search(str(message.get(name, ""))):
            return match[0]
    raise ReportRefused("the report does not say which mail came back")

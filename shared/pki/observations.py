"""Observations of DNS records and files: what issuance asks a perspective, what it answers, and both as JSON.

Texts of strangers travel in one form, `printable`: lossless, and free of characters that a log or PostgreSQL refuses.
Limits of size hold for both sides: the perspective cuts nothing, it answers `failed` with a reason instead.
"""

import json
import re
import uuid
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from shared.errors import Refused

MAX_QUESTIONS: Final = 128
# Characters of all values, tags and their values of one observation, in printable form.
MAX_TEXT: Final = 8192
MAX_VALUES: Final = 64
MAX_RECORDS: Final = 100
MAX_INQUIRY_BYTES: Final = 64 * 1024
# Enough for MAX_QUESTIONS observations of MAX_TEXT characters, each of them escaped in JSON.
MAX_REPORT_BYTES: Final = 4 * 1024 * 1024
_MAX_TAG: Final = 255 * 4
_MAX_OWNER: Final = 1010
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_ESCAPED: Final = re.compile(rb"[^\t\n\r\x20-\x5b\x5d-\x7e]")


class Kind(StrEnum):
    """Kinds of question. A file is `http://<name>/.well-known/pki-validation/ecert.txt` (BR 3.2.2.4.18)."""

    TXT = "txt"
    CNAME = "cname"
    CAA = "caa"
    FILE = "file"


class Outcome(StrEnum):
    """Outcomes of a question; only `absent` says that there is nothing."""

    FOUND = "found"
    ABSENT = "absent"
    FAILED = "failed"


class Reason(StrEnum):
    """Reasons for which a question failed."""

    BOGUS = "dns-bogus"
    DNS_TIMEOUT = "dns-timeout"
    SERVFAIL = "dns-servfail"
    DNS_REFUSED = "dns-refused"
    DNS_MALFORMED = "dns-malformed"
    CHAIN = "too-long-a-chain"
    RECORDS = "too-many-records"
    SIZE = "too-large"
    UNRESOLVED = "name-without-address"
    ADDRESS = "address-forbidden"
    CONNECTION = "connection-failed"
    STATUS = "http-status"
    HTTP_MALFORMED = "http-malformed"
    REDIRECT = "redirect-forbidden"
    REDIRECTS = "too-many-redirects"
    FETCH_TIMEOUT = "fetch-timeout"
    INTERNAL = "perspective-fault"


class Unreadable(Refused):
    """The JSON is no inquiry or report, over its limits, or a report answers something else."""

    reason = "observation-unreadable"


@dataclass(frozen=True)
class Question:
    """A record or file to look for. The name is in lower case, A-labels, without final dot and without `*.`."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class CAARecord:
    """A CAA record (RFC 8659, 4.1): flags 0-255, tag and value in printable form, the tag as it was written."""

    flags: int
    tag: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Answer of a perspective to one question.

    `values` are TXT records with their strings joined, the CNAME's target without final dot, or the file's body;
    `records` the CAA RRset, found at `owner`. `ttl` is in seconds, the lowest of the answer. `secure` says that the
    resolver validated the whole answer by DNSSEC; `address` is the one the file came from.
    """

    kind: Kind
    name: str
    outcome: Outcome
    reason: Reason | None = None
    values: tuple[str, ...] = ()
    records: tuple[CAARecord, ...] = ()
    owner: str | None = None
    ttl: int = 0
    secure: bool = False
    address: str | None = None

    @property
    def question(self) -> Question:
        """The question that this answers."""
        return Question(self.kind, self.name)

    def document(self) -> dict[str, Any]:
        """Return the observation as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """The questions of one attempt, for one perspective."""

    attempt_id: uuid.UUID
    questions: tuple[Question, ...]

    def document(self) -> dict[str, Any]:
        """Return the inquiry as JSON values."""
        return {"attempt_id": str(self.attempt_id), "questions": [asdict(each) for each in self.questions]}


@dataclass(frozen=True, kw_only=True)
class Report:
    """The answers of one perspective to an inquiry, in the order of its questions; `resolver` is host:port."""

    perspective: str
    resolver: str
    attempt_id: uuid.UUID
    observations: tuple[Observation, ...]

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "perspective": self.perspective,
            "resolver": self.resolver,
            "attempt_id": str(self.attempt_id),
            "observations": [each.document() for each in self.observations],
        }

    def require_answer_to(self, inquiry: Inquiry) -> None:
        """Check that this answers each question of the inquiry, and no other. Raises Unreadable."""
        if self.attempt_id != inquiry.attempt_id:
            raise Unreadable("the report is of another attempt")
        if tuple(each.question for each in self.observations) != inquiry.questions:
            raise Unreadable("the report answers other questions")


def printable(content: bytes) -> str:
    """Return octets as text: a backslash and all but printable ASCII, tab, CR and LF as `\\DDD` (RFC 1035, 5.1)."""
    return _ESCAPED.sub(lambda found: b"\\%03d" % found[0][0], content).decode("ascii")


def read_inquiry(content: bytes) -> Inquiry:
    """Return the inquiry of a request's body. Raises Unreadable."""
    loaded = _load(_InquirySchema(), content, MAX_INQUIRY_BYTES)
    assert isinstance(loaded, Inquiry)
    return loaded


def read_report(content: bytes) -> Report:
    """Return the report of a reply's body. Raises Unreadable."""
    loaded = _load(_ReportSchema(), content, MAX_REPORT_BYTES)
    assert isinstance(loaded, Report)
    return loaded


def read_observation(document: Any) -> Observation:
    """Return a stored observation, as `Observation.document` gave it. Raises Unreadable."""
    try:
        loaded = _observation_schema().load(document)
    except ValidationError as error:
        raise Unreadable("not an observation") from error
    assert isinstance(loaded, Observation)
    return loaded


def _load(schema: Schema, content: bytes, most: int) -> object:
    """Return what the schema makes of the JSON; the limit of bytes is checked before any parser runs."""
    if len(content) > most:
        raise Unreadable(f"more than {most} bytes")
    try:
        return schema.load(json.loads(content))
    except (ValueError, RecursionError, ValidationError) as error:
        raise Unreadable("not in the form of observations") from error


class _Strict(Schema):
    """Schema that refuses unknown fields."""

    class Meta:
        """Refuses unknown fields."""

        unknown = RAISE


class _QuestionSchema(_Strict):
    kind = fields.Enum(Kind, by_value=True, required=True)
    name = fields.String(required=True, validate=validate.Length(max=253))

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Question:
        _check_name(data["name"])
        return Question(**data)


class _CAASchema(_Strict):
    flags = fields.Integer(required=True, strict=True, validate=validate.Range(0, 255))
    tag = fields.String(required=True, validate=validate.Length(max=_MAX_TAG))
    value = fields.String(required=True, validate=validate.Length(max=MAX_TEXT))

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> CAARecord:
        for text in (data["tag"], data["value"]):
            _check_printable(text)
        return CAARecord(**data)


class _ObservationSchema(_Strict):
    kind = fields.Enum(Kind, by_value=True, required=True)
    name = fields.String(required=True, validate=validate.Length(max=253))
    outcome = fields.Enum(Outcome, by_value=True, required=True)
    reason = fields.Enum(Reason, by_value=True, allow_none=True, required=True)
    values = fields.List(
        fields.String(validate=validate.Length(max=MAX_TEXT)), required=True, validate=validate.Length(max=MAX_VALUES)
    )
    records = fields.List(fields.Nested(_CAASchema), required=True, validate=validate.Length(max=MAX_RECORDS))
    owner = fields.String(allow_none=True, required=True, validate=validate.Length(max=_MAX_OWNER))
    ttl = fields.Integer(required=True, strict=True, validate=validate.Range(0, 2**31 - 1))
    secure = fields.Boolean(required=True, truthy={True}, falsy={False})
    address = fields.IP(allow_none=True, required=True)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Observation:
        _check_name(data["name"])
        for text in (*data["values"], data["owner"] or ""):
            _check_printable(text)
        _check_consistent(data)
        return Observation(
            **data
            | {"values": tuple(data["values"]), "records": tuple(data["records"])}
            | {"address": None if data["address"] is None else str(data["address"])}
        )


@cache
def _observation_schema() -> _ObservationSchema:
    # Made once: building a schema takes ten times as long as reading a document with it.
    return _ObservationSchema()


class _InquirySchema(_Strict):
    attempt_id = fields.UUID(required=True)
    questions = fields.List(
        fields.Nested(_QuestionSchema), required=True, validate=validate.Length(min=1, max=MAX_QUESTIONS)
    )

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Inquiry:
        return Inquiry(attempt_id=data["attempt_id"], questions=tuple(data["questions"]))


class _ReportSchema(_Strict):
    perspective = fields.String(required=True, validate=validate.Regexp(r"[a-z0-9-]{1,32}\Z"))
    resolver = fields.String(required=True, validate=validate.Regexp(r"[!-~]{1,100}\Z"))
    attempt_id = fields.UUID(required=True)
    observations = fields.List(
        fields.Nested(_ObservationSchema), required=True, validate=validate.Length(max=MAX_QUESTIONS)
    )

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Report:
        return Report(**data | {"observations": tuple(data["observations"])})


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValidationError("Must be a DNS name in lower case.")


def _check_printable(text: str) -> None:
    if not text.isascii() or _ESCAPED.search(text.replace("\\", "").encode()):
        raise ValidationError("Must be printable ASCII.")


def _check_consistent(data: dict[str, Any]) -> None:
    """Check that only a failure has a reason, and only what was found has content."""
    content = bool(data["records"]) if data["kind"] is Kind.CAA else bool(data["values"])
    stray = bool(data["values"]) if data["kind"] is Kind.CAA else bool(data["records"])
    found, failed = data["outcome"] is Outcome.FOUND, data["outcome"] is Outcome.FAILED
    if content is not found or stray or (data["reason"] is not None) is not failed:
        raise ValidationError("Outcome, reason and content contradict each other.")
    if sum(map(len, data["values"])) + sum(len(each.tag + each.value) for each in data["records"]) > MAX_TEXT:
        raise ValidationError("Too much text.")
